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

/** Bytes that are written at once. */
const STAGE_SIZE = 64 * 1024;

const encoder = new TextEncoder();

/** Writes some bytes, however long that takes; how many, or its failure. */
export type Write = (bytes: Uint8Array<ArrayBuffer>) => Promise<number>;

/** A stream that is written to without waiting for it. */
export class Output {
  /**
   * Told of each failure, such as ENOSPC or EPIPE. What was to be written is
   * lost; what comes later is tried again.
   */
  onFailure: (error: Error) => void = (error) => this.failure ??= error;
  /** The first failure that nobody was told of. */
  failure: Error | undefined;
  readonly #write: Write;
  readonly #stage = new Uint8Array(new ArrayBuffer(STAGE_SIZE));
  readonly #waiting: Uint8Array[] = [];
  #size = 0;
  #writing = false;
  #written = Promise.withResolvers<void>();

  /** An output that `write` writes to. */
  constructor(write: Write) {
    this.#write = write;
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
      let taken = bytes.length;
      try {
        taken = await this.#write(bytes);
      } catch (error) {
        this.onFailure(error as Error);
      }
      this.#take(taken);
      this.#written.resolve();
      this.#written = Promise.withResolvers();
    }
    this.#writing = false;
  }

  /** As much of what waits as is written at once. */
  #next(): Uint8Array<ArrayBuffer> {
    let length = 0;
    for (const bytes of this.#waiting) {
      const part = bytes.subarray(0, STAGE_SIZE - length);
      this.#stage.set(part, length);
      length += part.length;
      if (length === STAGE_SIZE) break;
    }
    return this.#stage.subarray(0, length);
  }

  #take(count: number): void {
    this.#size -= count;
    while (count > 0) {
      const bytes = this.#waiting[0]!;
      if (count < bytes.length) {
        this.#waiting[0] = bytes.subarray(count);
        return;
      }
      count -= bytes.length;
      this.#waiting.shift();
    }
  }
}

/** Without the right to call libc there is no machine, and little to print. */
function standard(what: string, fd: number, stream: typeof Deno.stdout): Write {
  return async (bytes) => {
    const { state } = Deno.permissions.querySync({ name: "ffi" });
    if (state !== "granted") return await stream.write(bytes);
    const { writeWait } = await import("../../ffi/write_wait.ts");
    return await writeWait(fd, bytes, what);
  };
}

/** This process's standard output. */
export const standardOutput: Output = new Output(
  standard("standard output", 1, Deno.stdout),
);
/** This process's standard error. */
export const standardError: Output = new Output(
  standard("standard error", 2, Deno.stderr),
);

/** The reader has closed its end. */
export function isClosed(error: Error): boolean {
  return (error as { code?: string }).code === "EPIPE" ||
    error instanceof Deno.errors.BrokenPipe;
}
