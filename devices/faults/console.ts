/**
 * Faults of a console's port: a backend around another. Only a console that has
 * them has this.
 *
 * @module
 */
import type {
  ConsoleBackend,
  ConsoleLoop,
} from "../backends/console/backend.ts";
import type { Timers } from "../runtime/timers.ts";
import { Delayed } from "./delayed.ts";
import { corrupt, type Faults, leastOf } from "./rules.ts";

/** A backend with faults. */
export class FaultyConsole implements ConsoleBackend {
  readonly #inner: ConsoleBackend;
  readonly #faults: Faults;
  readonly #output = new Delayed();
  readonly #input = new Delayed();
  #rest = new Uint8Array(); // input whose fate is over

  /** Around `inner`, which it closes. */
  constructor(inner: ConsoleBackend, faults: Faults) {
    this.#inner = inner;
    this.#faults = faults;
  }

  set timers(timers: Timers | undefined) {
    this.#output.timers = this.#input.timers = timers;
  }

  get connected(): boolean {
    return this.#inner.connected;
  }

  attach(loop: ConsoleLoop, changed: () => void): void {
    this.#output.over = this.#input.over = changed;
    this.#inner.attach(loop, changed);
  }

  write(bytes: Uint8Array, start: number, end: number): number {
    const inner = this.#inner;
    if (this.#output.waits) return 0;
    const length = end - start;
    const fate = this.#output.due() || !inner.connected
      ? undefined
      : this.#faults.next("output", 0, length);
    switch (fate?.effect) {
      case undefined:
        return inner.write(bytes, start, end);
      case "drop":
        return length;
      case "short": {
        this.#output.begin(0); // the rest, in a moment
        const least = leastOf(fate!);
        return inner.write(bytes, start, Math.min(end, start + least));
      }
      case "duplicate": {
        const taken = inner.write(bytes, start, end);
        inner.write(bytes, start, start + taken);
        return taken;
      }
      case "corrupt": {
        const copy = bytes.slice(start, end);
        corrupt(copy, 0, fate!);
        return inner.write(copy, 0, length);
      }
      default:
        this.#output.wait(fate!);
        return 0;
    }
  }

  read(bytes: Uint8Array, start: number, end: number): number {
    for (;;) {
      if (this.#input.waits) return 0;
      this.#input.due();
      if (this.#rest.length > 0) return this.#give(bytes, start, end);
      const count = this.#inner.read(bytes, start, end);
      const fate = count > 0 ? this.#faults.next("input", 0, count) : undefined;
      const got = bytes.subarray(start, start + count);
      switch (fate?.effect) {
        case undefined:
          return count;
        case "drop":
          continue;
        case "corrupt":
          corrupt(got, 0, fate!);
          return count;
        case "duplicate":
          this.#rest = got.slice();
          return count;
        case "short": {
          const first = leastOf(fate!);
          this.#rest = got.slice(first);
          return Math.min(first, count);
        }
        default:
          this.#rest = got.slice();
          this.#input.wait(fate!);
      }
    }
  }

  another(): void {
    this.#rest = new Uint8Array();
    this.#inner.another?.();
  }

  /** What is stalled goes on. */
  goOn(): void {
    this.#output.goOn();
    this.#input.goOn();
  }

  /** The guest's output is no more; its input is for who comes next. */
  reset(): void {
    this.#output.forget();
  }

  close(): void {
    this.#inner.close();
  }

  #give(bytes: Uint8Array, start: number, end: number): number {
    const part = this.#rest.subarray(0, end - start);
    bytes.set(part, start);
    this.#rest = this.#rest.subarray(part.length);
    return part.length;
  }
}
