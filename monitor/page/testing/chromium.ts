/**
 * For tests: Debian's Chromium, driven by a program of its own
 * (`browser/main.ts`), whose library is downloaded when it is first asked for.
 *
 * @module
 */
import assert from "node:assert/strict";

const CONFIG = new URL("./browser/deno.json", import.meta.url).pathname;
const PROGRAM = new URL("./browser/main.ts", import.meta.url).pathname;

/** What it is told. */
export type Step =
  /** An expression's value. */
  | { evaluate: string }
  /** Waits until an expression is true. */
  | { until: string }
  /** A click at what a selector finds. */
  | { click: string }
  /** Keys; `Enter` and the like are in a list of their own. */
  | { type: string[] }
  /** Loads the page again. */
  | { reload: true }
  /** A picture of the page. */
  | { screenshot: string };

/** A browser with one page. */
export class Chromium implements AsyncDisposable {
  /** What the browser has said is wrong, so far. */
  wrong: string[] = [];
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #output: ReadableStreamDefaultReader<string>;
  #rest = "";

  /** Opens a URL. */
  constructor(url: string) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--quiet", "--frozen", `--config=${CONFIG}`],
        ...[PROGRAM, url],
      ],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#output = this.#child.stdout.pipeThrough(new TextDecoderStream())
      .getReader();
  }

  /** Does something there, and returns what comes of it. */
  async do(step: Step): Promise<unknown> {
    const line = `${JSON.stringify(step)}\n`;
    await this.#input.write(new TextEncoder().encode(line));
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#output.read();
      assert.ok(!done, "the browser has ended");
      this.#rest += value;
    }
    const [answer] = this.#rest.split("\n", 1) as [string];
    this.#rest = this.#rest.slice(answer.length + 1);
    const { value, error, wrong } = JSON.parse(answer);
    this.wrong = wrong;
    assert.equal(error, undefined, `${line} ${wrong}`);
    return value;
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.#output.cancel();
    await this.#child.status;
  }
}
