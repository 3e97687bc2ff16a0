/**
 * The data of the metadata service, as requests have said it.
 *
 * @module
 */

/** Data that has a limit. */
export class Metadata {
  readonly #most: number;
  #store: unknown;
  #isThere = false;

  /** @param most bytes of JSON */
  constructor(most: number) {
    this.#most = most;
  }

  /** Somebody has said something. */
  get isThere(): boolean {
    return this.#isThere;
  }

  /** Any JSON; undefined: nobody has said anything. */
  get store(): unknown {
    return this.#store;
  }

  set store(value: unknown) {
    this.#store = value;
    this.#isThere = true;
  }

  /** Whether there is room for it. */
  fits(value: unknown): boolean {
    const text = JSON.stringify(value);
    return new TextEncoder().encode(text).length <= this.#most;
  }
}
