/**
 * Standard output and standard error, for a process that must not wait for
 * whoever reads them: a pipe may be full, a terminal stopped, a disk slow. The
 * system call waits in a thread of Deno's, and what it has not taken waits
 * here, up to a limit that its writers keep.
 *
 * @module
 */

/** From so many bytes that wait on, a writer had better wait, too. */
const CAPACITY = 64 * 1024;

const encoder = new TextEncoder();

/** What bytes are written to. */
export interface Sink {
  /** Takes bytes, or some of them; how many. */
  write(bytes: Uint8Array): Promise<number>;
}

/** A descriptor that is written to without waiting for it. */
export class Output {
  /**
   * Told of each failure, such as ENOSPC or EPIPE. What was to be written is
   * lost; what comes later is tried again.
   */
  onFailure: (error: Error) => void = (error) => this.failure ??= error;
  /** The first failure that nobody was told of. */
  failure: Error | undefined;
  readonly #sink: Sink;
  readonly #fd: number;
  #waiting: Uint8Array[] = [];
  #size = 0;
  #writing = false;
  #written = Promise.withResolvers<void>();

  /** An output to `sink`, whose descriptor is `fd`. */
  constructor(sink: Sink, fd: number) {
    this.#sink = sink;
    this.#fd = fd;
  }

  /** Takes all of a text, or of bytes, which are not changed any more. */
  write(data: Uint8Array | string): void {
    const bytes = typeof data === "string" ? encoder.encode(data) : data;
    if (bytes.length === 0) return;
    this.#waiting.push(bytes);
    this.#size += bytes.length;
    if (!this.#writing) this.#writeAll();
  }

  /** Takes a line of text. */
  print(text: string): void {
    this.write(`${text}\n`);
  }

  /** Takes a line of text that may be left out, when too much waits already. */
  note(text: string): void {
    if (!this.full) this.print(text);
  }

  /** More waits than should. */
  get full(): boolean {
    return this.#size >= CAPACITY;
  }

  /** Resolves when it isn't full. */
  async room(): Promise<void> {
    while (this.full) await this.#written.promise;
  }

  /** Resolves when nothing waits any more. */
  async flushed(): Promise<void> {
    while (this.#size > 0) await this.#written.promise;
  }

  async #writeAll(): Promise<void> {
    this.#writing = true;
    while (this.#size > 0) {
      const bytes = this.#next();
      const taken = await this.#writeSome(bytes);
      this.#waiting[0] = bytes.subarray(taken);
      this.#size -= taken;
      this.#written.resolve();
      this.#written = Promise.withResolvers();
    }
    this.#waiting = [];
    this.#writing = false;
  }

  /** Everything that waits, as one piece. */
  #next(): Uint8Array {
    if (this.#waiting.length > 1) {
      const all = new Uint8Array(this.#size);
      let at = 0;
      for (const bytes of this.#waiting) {
        all.set(bytes, at);
        at += bytes.length;
      }
      this.#waiting = [all];
    }
    return this.#waiting[0]!;
  }

  /** How many bytes need no further care. */
  async #writeSome(bytes: Uint8Array): Promise<number> {
    try {
      return await this.#sink.write(bytes);
    } catch (error) {
      if (error instanceof Deno.errors.Interrupted) return 0;
      if (error instanceof Deno.errors.WouldBlock) {
        await this.#writable();
        return 0;
      }
      this.onFailure(error as Error);
      return bytes.length;
    }
  }

  /** Somebody has made it non-blocking, for all who share it. */
  async #writable(): Promise<void> {
    const { Poll, pollFd } = await import("../ffi/poll.ts");
    await pollFd(this.#fd, Poll.OUT);
  }
}

/** This process's standard output. */
export const standardOutput: Output = new Output(Deno.stdout, 1);
/** This process's standard error. */
export const standardError: Output = new Output(Deno.stderr, 2);

/** An error of the operating system's: `ENOSPC (No space left on device)`. */
export function systemText(error: Error): string {
  const { code } = error as { code?: string };
  const text = error.message.replace(/ \(os error \d+\)$/, "");
  return code === undefined ? text : `${code} (${text})`;
}
