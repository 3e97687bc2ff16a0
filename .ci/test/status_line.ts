/**
 * On a terminal, the last line says what runs at the moment, and since when.
 *
 * @module
 */
import type { Batch } from "./lanes.ts";

const ERASE = "\r\x1b[K";

/** The line; nothing where standard error is no terminal. */
export class StatusLine implements Disposable {
  readonly #running = new Map<Batch, number>();
  readonly #timer: ReturnType<typeof setInterval> | undefined;

  /** Shows it from now on. */
  constructor() {
    if (Deno.stderr.isTerminal()) {
      this.#timer = setInterval(() => this.#show(), 1000);
    }
  }

  /** A batch has begun. */
  add(batch: Batch): void {
    this.#running.set(batch, performance.now());
  }

  /** A batch has ended; what is printed next begins on an empty line. */
  remove(batch: Batch): void {
    this.#running.delete(batch);
    if (this.#timer !== undefined) this.#write("");
  }

  /** Ends it. */
  [Symbol.dispose](): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#write("");
  }

  #show(): void {
    const now = performance.now();
    const parts = [...this.#running].map(([{ paths }, since]) => {
      const more = paths.length > 1 ? ` and ${paths.length - 1} more` : "";
      return `${paths[0]}${more}, ${Math.round((now - since) / 1000)} s`;
    });
    const { columns } = Deno.consoleSize();
    this.#write(`running ${parts.join("; ")}`.slice(0, columns - 1));
  }

  #write(text: string): void {
    Deno.stderr.writeSync(new TextEncoder().encode(ERASE + text));
  }
}
