/**
 * Numbers by chance that are the same for the same seed.
 *
 * @module
 */

/** xorshift32. */
export class Random {
  #state: number;

  /** Of any number, also such that follow each other. */
  constructor(seed: number) {
    let mixed = (seed ^ 0x9e37_79b9) >>> 0;
    mixed = Math.imul(mixed ^ mixed >>> 16, 0x21f0_aaad);
    mixed = Math.imul(mixed ^ mixed >>> 15, 0x735a_2d97);
    this.#state = (mixed ^ mixed >>> 15) >>> 0 || 1;
  }

  /** 0 to 2^32 - 1. */
  word(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return this.#state = x >>> 0;
  }

  /** A whole number below `limit`, which is at most 2^32. */
  below(limit: number): number {
    return this.word() % limit;
  }

  /** One of them. */
  of<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }
}
