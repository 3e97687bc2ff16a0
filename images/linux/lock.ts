/**
 * One process prepares at a time. The file that it has locked says how far it
 * is, for those that wait.
 *
 * @module
 */
import type { ProgressOutput } from "./prepare.ts";

/** Who waits looks this often at how far the other is. */
const LOOK_INTERVAL_MS = 1000;
/** Plain output, as in a log file, gets a line this often. */
const PLAIN_INTERVAL_MS = 10_000;

/** The right to prepare, until it is disposed of or this process ends. */
export class PrepareLock implements Disposable {
  readonly #file: Deno.FsFile;

  private constructor(file: Deno.FsFile) {
    this.#file = file;
    this.say("beginning");
  }

  /**
   * Waits until no other process prepares.
   *
   * @param folder the cache's folder
   * @param output is told what is waited for
   */
  static async take(
    folder: string,
    output: ProgressOutput,
  ): Promise<PrepareLock> {
    const path = `${folder}/lock`;
    const options = { create: true, read: true, write: true };
    const file = await Deno.open(path, options);
    const waiting = new Waiting(path, output);
    try {
      await file.lock(true);
    } catch (error) {
      file.close();
      throw error;
    } finally {
      waiting.end();
    }
    return new PrepareLock(file);
  }

  /**
   * Tells those who wait.
   *
   * @param line how far this one is
   */
  say(line: string): void {
    const bytes = new TextEncoder().encode(line);
    try {
      this.#file.seekSync(0, Deno.SeekMode.Start);
      this.#file.writeSync(bytes);
      this.#file.truncateSync(bytes.length);
    } catch {
      // They have to do without, as on a full disk.
    }
  }

  /** Lets the next one in. */
  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/** What is shown meanwhile. */
class Waiting {
  readonly #path: string;
  readonly #output: ProgressOutput;
  readonly #timer: ReturnType<typeof setInterval>;
  #shown = "";
  #shownAt = -Infinity;

  constructor(path: string, output: ProgressOutput) {
    this.#path = path;
    this.#output = output;
    this.#timer = setInterval(() => this.#look(), LOOK_INTERVAL_MS);
  }

  end(): void {
    clearInterval(this.#timer);
    const isTerminal = this.#output.columns() !== undefined;
    if (this.#shown !== "" && isTerminal) this.#output.write("\r\x1b[K");
  }

  #look(): void {
    const line = `waiting for another prepare: ${this.#read()}`;
    const columns = this.#output.columns();
    const now = performance.now();
    if (line === this.#shown) return;
    if (columns === undefined && now - this.#shownAt < PLAIN_INTERVAL_MS) {
      return;
    }
    this.#shown = line;
    this.#shownAt = now;
    this.#output.write(
      columns === undefined
        ? `${line}\n`
        : `\r${line.slice(0, columns - 1)}\x1b[K`,
    );
  }

  #read(): string {
    try {
      return Deno.readTextFileSync(this.#path) || "beginning";
    } catch {
      return "beginning";
    }
  }
}
