/**
 * Busy processes beside what is measured, so that a run says itself how crowded
 * its host was.
 *
 * @module
 */

/** Looks now and then whether its parent is still there, and else counts. */
const LOOP = "while kill -0 $PPID; do " +
  "n=0; while [ $n -lt 200000 ]; do n=$((n + 1)); done; done";

/** Processes that do nothing, all the time; they end with this one. */
export class BusyProcesses implements AsyncDisposable {
  readonly #children: readonly Deno.ChildProcess[];

  /** Starts `count` of them. */
  constructor(count: number) {
    this.#children = Array.from(
      { length: count },
      () =>
        new Deno.Command("sh", {
          args: ["-c", LOOP],
          stdin: "null",
          stdout: "null",
          stderr: "null",
        }).spawn(),
    );
  }

  /** Ends them. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) child.kill("SIGKILL");
    await Promise.all(this.#children.map(({ status }) => status));
  }
}
