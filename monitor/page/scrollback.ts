/**
 * The last that a guest said, for readers of any speed.
 *
 * @module
 */

/** Bytes that are kept. */
export const SCROLLBACK = 64 * 1024;

/** Keeps the end of a stream of bytes, whose places are counted from 0. */
export class Scrollback {
  readonly #ring = new Uint8Array(SCROLLBACK);
  /** Where the stream ends: so many bytes came. */
  end = 0;

  /** Takes the next bytes. */
  push(bytes: Uint8Array): void {
    const last = bytes.subarray(-SCROLLBACK);
    this.end += bytes.length;
    const at = (this.end - last.length) % SCROLLBACK;
    const first = last.subarray(0, SCROLLBACK - at);
    this.#ring.set(first, at);
    this.#ring.set(last.subarray(first.length), 0);
  }

  /** What came from `place` on, as far as it is there. */
  since(place: number): Uint8Array {
    const begin = Math.max(place, this.end - SCROLLBACK, 0);
    const bytes = new Uint8Array(this.end - begin);
    const at = begin % SCROLLBACK;
    const first = this.#ring.subarray(at, at + bytes.length);
    bytes.set(first);
    bytes.set(
      this.#ring.subarray(0, bytes.length - first.length),
      first.length,
    );
    return bytes;
  }
}
