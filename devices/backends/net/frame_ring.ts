/**
 * A ring of frames in shared memory, from one producer to one consumer in
 * different threads. A frame is in one piece, so that it is read and written
 * where it stands.
 *
 * @module
 */

// Head and tail in cache lines of their own: the two sides don't share one.
const HEAD = 0;
const TAIL = 16;
const HEADER_BYTES = 128;
/** In front of a frame: its length. */
const LENGTH_SIZE = 4;
/** In the place of a length: what is left up to the ring's end is not used. */
const SKIP = 0xffff_ffff;

/** Bytes that a frame takes in a ring. */
function sizeOf(length: number): number {
  return (LENGTH_SIZE + length + 3) & ~3;
}

/** The view of one isolate on a ring; each of the two makes its own. */
export class FrameRing {
  readonly #capacity: number;
  // Free-running 32-bit counters: tail - head is what is inside.
  readonly #indices: Int32Array<SharedArrayBuffer>;
  readonly #words: Uint32Array<SharedArrayBuffer>;
  readonly #bytes: Uint8Array<SharedArrayBuffer>;
  #reserved = 0; // where the tail will be

  /** The shared memory that a ring of `capacity` bytes takes. */
  static byteLength(capacity: number): number {
    return HEADER_BYTES + capacity;
  }

  /**
   * A ring at `byteOffset` of `shared`, a multiple of four, with room for
   * `capacity` bytes, a power of two. Zeroed memory is an empty ring.
   */
  constructor(shared: SharedArrayBuffer, byteOffset: number, capacity: number) {
    this.#capacity = capacity;
    this.#indices = new Int32Array(shared, byteOffset, HEADER_BYTES / 4);
    const start = byteOffset + HEADER_BYTES;
    this.#words = new Uint32Array(shared, start, capacity / 4);
    this.#bytes = new Uint8Array(shared, start, capacity);
  }

  /** No frame is inside. */
  get empty(): boolean {
    const head = Atomics.load(this.#indices, HEAD);
    return Atomics.load(this.#indices, TAIL) === head;
  }

  /**
   * Room for a frame of `length` bytes, to be filled in before
   * {@linkcode FrameRing.push}; undefined when there is none.
   */
  reserve(length: number): Uint8Array<SharedArrayBuffer> | undefined {
    const size = sizeOf(length);
    let tail = this.#indices[TAIL]!;
    const used = (tail - Atomics.load(this.#indices, HEAD)) | 0;
    let at = tail & (this.#capacity - 1);
    const toEnd = this.#capacity - at;
    const skipped = size > toEnd ? toEnd : 0;
    if (used + skipped + size > this.#capacity) return undefined;
    if (skipped > 0) {
      this.#words[at / 4] = SKIP;
      tail += skipped;
      at = 0;
    }
    this.#words[at / 4] = length;
    this.#reserved = (tail + size) | 0;
    return this.#bytes.subarray(at + LENGTH_SIZE, at + LENGTH_SIZE + length);
  }

  /** The frame that was reserved is there. */
  push(): void {
    Atomics.store(this.#indices, TAIL, this.#reserved);
  }

  /**
   * The oldest frame, where it stands until {@linkcode FrameRing.pop};
   * undefined when there is none.
   */
  peek(): Uint8Array<SharedArrayBuffer> | undefined {
    const head = this.#indices[HEAD]!;
    if (Atomics.load(this.#indices, TAIL) === head) return undefined;
    const at = head & (this.#capacity - 1);
    const length = this.#words[at / 4]!;
    if (length !== SKIP) {
      return this.#bytes.subarray(at + LENGTH_SIZE, at + LENGTH_SIZE + length);
    }
    Atomics.store(this.#indices, HEAD, (head + this.#capacity - at) | 0);
    return this.peek(); // a frame follows: they were pushed together
  }

  /** Takes the frame away that {@linkcode FrameRing.peek} gave. */
  pop(): void {
    const head = this.#indices[HEAD]!;
    const length = this.#words[(head & (this.#capacity - 1)) / 4]!;
    Atomics.store(this.#indices, HEAD, (head + sizeOf(length)) | 0);
  }
}
