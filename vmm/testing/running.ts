/**
 * For tests: the command line with a guest of a few instructions, as a process
 * whose standard streams are what the test wants.
 *
 * @module
 */
import assert from "node:assert/strict";
import { keep } from "../../ffi/testing/keep.ts";
import { until } from "../../ffi/testing/until.ts";
import { MAIN } from "./command.ts";

/** What to run. */
export interface RunningOptions {
  /** The kernel. */
  kernel: Uint8Array;
  /** More of the command line. */
  args?: string[];
  /** The shell's redirections, such as `>/dev/full`. */
  redirect?: string;
  /** Shell commands before it. */
  before?: string;
  /** Another command line, without the kernel. */
  words?: string[];
  /** A configuration's file, with `run`, instead of `boot`. */
  run?: boolean;
  /** Programs that start it: `["setsid"]`. */
  through?: string[];
}

/** A running `vireo`. */
export class Running implements AsyncDisposable {
  /** The process. */
  readonly child: Deno.ChildProcess;
  /** A folder for its files. */
  readonly folder: string;
  /** What it has printed, where that wasn't redirected. */
  stdout = "";
  #stderr = "";
  #status: Deno.CommandStatus | undefined;

  /** Starts it. */
  constructor(options: RunningOptions, folder = Deno.makeTempDirSync()) {
    this.folder = folder;
    const { args = [], redirect = "", before = "", through = [] } = options;
    const kernel = `${folder}/kernel`;
    Deno.writeFileSync(kernel, options.kernel);
    const words = options.words ??
      (options.run
        ? ["run", "--config", configFile(folder, kernel)]
        : ["boot", kernel, "--memory", "16M"]);
    const vireo = [Deno.execPath(), "run", "--quiet", "-A", MAIN];
    const [program, ...rest] = [
      ...[...through, "sh", "-c", `${before}\nexec "$@" ${redirect}`, "sh"],
      ...[...vireo, ...words, ...args],
    ];
    this.child = new Deno.Command(program!, {
      args: rest,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      env: { NO_COLOR: "1" },
    }).spawn();
    // Its last words may come after its end.
    Promise.all([
      this.child.status,
      keep(this.child.stdout, (text) => this.stdout += text),
      keep(this.child.stderr, (text) => this.#stderr += text),
    ]).then(([status]) => this.#status = status);
  }

  /** What it has said in whole lines, but of what its host is like. */
  get lines(): string[] {
    const end = this.alive ? this.#stderr.lastIndexOf("\n") + 1 : undefined;
    return this.#stderr.slice(0, end).split("\n").filter((line) =>
      line !== "" && !line.includes("this host emulates")
    );
  }

  /** It runs, as far as one can tell. */
  get alive(): boolean {
    return this.#status === undefined;
  }

  /** Waits for `condition`, or its end. */
  async until(condition: () => boolean, what: string): Promise<void> {
    const seen = () => `${this.stdout} ${this.#stderr}`;
    await until(() => condition() || !this.alive, what, seen);
    assert.ok(condition(), `it ended before ${what}: ${seen()}`);
  }

  /** Waits until it has said a line of this kind. */
  async says(pattern: RegExp): Promise<void> {
    const says = () => this.lines.some((line) => pattern.test(line));
    await this.until(says, `${pattern}`);
  }

  /** The guest runs: it has printed "hi", and its line's end. */
  async hi(): Promise<void> {
    await this.until(() => this.stdout.includes("hi\n"), "hi");
  }

  /** Its end. */
  async end(): Promise<Deno.CommandStatus> {
    const seen = () => `${this.stdout} ${this.#stderr}`;
    await until(() => !this.alive, "end", seen);
    return this.#status!;
  }

  /** Ends it by a signal, of which it has to die. */
  async endBy(signal: Deno.Signal): Promise<void> {
    this.child.kill(signal);
    assert.equal((await this.end()).signal, signal, this.#stderr);
  }

  /** Ends it, whatever it does, and removes its files. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.child.kill("SIGKILL");
    } catch {
      // it has ended
    }
    await this.child.status;
    await this.child.stdin.close().catch(() => {});
    Deno.removeSync(this.folder, { recursive: true });
  }
}

function configFile(folder: string, kernel: string): string {
  const path = `${folder}/vm.json`;
  Deno.writeTextFileSync(
    path,
    JSON.stringify({
      "boot-source": { kernel_image_path: kernel },
      "machine-config": { mem_size_mib: 16 },
    }),
  );
  return path;
}
