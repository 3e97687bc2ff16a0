/**
 * The end of a stream of bytes.
 *
 * @module
 */

/** Keeps the last bytes that were pushed. */
export class LastBytes {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  #length = 0;
  /** Some came before those that are kept. */
  cut = false;

  /** Keeps `size` bytes. */
  constructor(size: number) {
    this.#bytes = new Uint8Array(size);
  }

  /** Takes the next bytes. */
  push(bytes: Uint8Array): void {
    const size = this.#bytes.length;
    const last = bytes.subarray(-size);
    const surplus = Math.max(0, this.#length + last.length - size);
    if (surplus > 0 || last.length < bytes.length) this.cut = true;
    this.#bytes.copyWithin(0, surplus, this.#length);
    this.#length -= surplus;
    this.#bytes.set(last, this.#length);
    this.#length += last.length;
  }

  /** Those that are kept. */
  bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }
}
