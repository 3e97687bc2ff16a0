/**
 * For tests: random numbers that a seed repeats.
 *
 * @module
 */

/** A seeded generator (mulberry32). */
export class Random {
  #state: number;

  /** The same seed gives the same numbers. */
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** An integer from 0 to `limit - 1`; `limit` at most 2^32. */
  below(limit: number): number {
    this.#state = (this.#state + STEP) >>> 0;
    return Math.floor(mixed(this.#state) / 0x1_0000_0000 * limit);
  }

  /** True once in `n` times. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  /** One of the values. */
  of<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }

  /** `length` bytes, each as {@linkcode below} would give it, but quicker. */
  bytes(length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    let state = this.#state;
    for (let i = 0; i < length; i++) {
      state = (state + STEP) >>> 0;
      bytes[i] = mixed(state) >>> 24;
    }
    this.#state = state;
    return bytes;
  }
}

const STEP = 0x6d2b79f5;

/** 32 bits, of 32 that count up. */
function mixed(state: number): number {
  let x = Math.imul(state ^ (state >>> 15), state | 1);
  x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
  return (x ^ (x >>> 14)) >>> 0;
}
