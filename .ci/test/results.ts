/**
 * What tests came to, out of the report in JUnit's format that `deno test`
 * writes.
 *
 * @module
 */
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";

const ENCODER = new TextEncoder();

/** The program that reads reports, and the configuration that it runs with. */
const READER = new URL("junit/main.ts", import.meta.url).pathname;

/** How a test ended. */
export type Outcome = "passed" | "failed" | "ignored";

/** One test. */
export interface TestResult {
  /** Its name. */
  name: string;
  /** How it ended. */
  outcome: Outcome;
  /** How long it took. */
  seconds: number;
  /** Whether it is a step of another test. */
  isStep: boolean;
}

/** The tests of one file. */
export interface FileResult {
  /** Its path, from the project's folder on. */
  path: string;
  /** Its tests, and their steps. */
  tests: TestResult[];
}

/** Reads reports, in a program of its own, because it has a package of its own. */
export class ReportReader implements AsyncDisposable {
  readonly #program = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--frozen", READER],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  readonly #reports = this.#program.stdin.getWriter();
  readonly #results = createInterface({
    input: Readable.fromWeb(this.#program.stdout as ReadableStream),
  })[Symbol.asyncIterator]();

  /**
   * Reads a report; nothing is in an empty one. Of several at once the results
   * come in the same order.
   */
  async read(xml: string): Promise<FileResult[]> {
    if (xml.trim() === "") return [];
    const line = this.#results.next();
    await this.#reports.write(ENCODER.encode(`${JSON.stringify(xml)}\n`));
    const { value, done } = await line;
    if (done) throw new Error("what reads the tests' reports has ended");
    return JSON.parse(value);
  }

  /** Ends the program. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reports.close();
    await this.#program.status;
  }
}
