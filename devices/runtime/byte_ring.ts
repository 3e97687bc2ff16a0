/**
 * A ring of bytes in shared memory, from one producer to one consumer in
 * different threads. Several producers need a lock around `push`, several
 * consumers one around `pop`.
 *
 * @module
 */

// Head and tail in cache lines of their own: the two sides don't share one.
const HEAD = 0;
const TAIL = 16;
const HEADER_BYTES = 128;

/** The view of one isolate on a ring; every isolate makes its own. */
export class ByteRing {
  /** The number of bytes that fit, a power of two. */
  readonly capacity: number;
  readonly #mask: number;
  // Free-running 32-bit counters: tail - head is the length, also when they
  // have wrapped.
  readonly #indices: Int32Array<SharedArrayBuffer>;
  readonly #bytes: Uint8Array<SharedArrayBuffer>;

  /** The shared memory that a ring of `capacity` bytes takes. */
  static byteLength(capacity: number): number {
    return HEADER_BYTES + capacity;
  }

  /**
   * A ring at `byteOffset` of `shared`, a multiple of four. Zeroed memory is
   * an empty ring.
   */
  constructor(shared: SharedArrayBuffer, byteOffset: number, capacity: number) {
    if (capacity < 1 || capacity > 2 ** 30 || (capacity & (capacity - 1))) {
      throw new RangeError(`ring capacity ${capacity}: not a power of two`);
    }
    this.capacity = capacity;
    this.#mask = capacity - 1;
    this.#indices = new Int32Array(shared, byteOffset, HEADER_BYTES / 4);
    this.#bytes = new Uint8Array(shared, byteOffset + HEADER_BYTES, capacity);
  }

  /** The number of bytes inside. */
  get length(): number {
    // Head first: then the consumer of this ring never sees more than is
    // there, and its producer never less.
    const head = Atomics.load(this.#indices, HEAD);
    return (Atomics.load(this.#indices, TAIL) - head) | 0;
  }

  /** The number of bytes that can be pushed. */
  get free(): number {
    return this.capacity - this.length;
  }

  /** Adds one byte; false when the ring is full. */
  push(byte: number): boolean {
    const indices = this.#indices;
    const tail = indices[TAIL]!;
    const length = (tail - Atomics.load(indices, HEAD)) | 0;
    if (length === this.capacity) return false;
    this.#bytes[tail & this.#mask] = byte;
    Atomics.store(indices, TAIL, (tail + 1) | 0);
    return true;
  }

  /** Adds the first bytes of `bytes`, as many as fit; returns how many. */
  pushAll(bytes: Uint8Array): number {
    const tail = this.#indices[TAIL]!;
    const count = Math.min(bytes.length, this.free);
    const start = tail & this.#mask;
    const first = Math.min(count, this.capacity - start);
    this.#bytes.set(bytes.subarray(0, first), start);
    this.#bytes.set(bytes.subarray(first, count), 0);
    Atomics.store(this.#indices, TAIL, (tail + count) | 0);
    return count;
  }

  /**
   * The same for `bytes` from `start` up to `end`; allocates nothing.
   */
  pushFrom(bytes: Uint8Array, start: number, end: number): number {
    const tail = this.#indices[TAIL]!;
    const count = Math.min(end - start, this.free);
    for (let i = 0; i < count; i++) {
      this.#bytes[(tail + i) & this.#mask] = bytes[start + i]!;
    }
    Atomics.store(this.#indices, TAIL, (tail + count) | 0);
    return count;
  }

  /** Takes the oldest byte, or -1 when the ring is empty. */
  pop(): number {
    const indices = this.#indices;
    const head = indices[HEAD]!;
    if (Atomics.load(indices, TAIL) === head) return -1;
    const byte = this.#bytes[head & this.#mask]!;
    Atomics.store(indices, HEAD, (head + 1) | 0);
    return byte;
  }

  /**
   * Takes the oldest bytes into `bytes` from `start` up to `end`, as many as
   * there are; returns how many, and allocates nothing.
   */
  popInto(bytes: Uint8Array, start: number, end: number): number {
    const head = this.#indices[HEAD]!;
    const count = Math.min(end - start, this.length);
    for (let i = 0; i < count; i++) {
      bytes[start + i] = this.#bytes[(head + i) & this.#mask]!;
    }
    Atomics.store(this.#indices, HEAD, (head + count) | 0);
    return count;
  }

  /** Takes everything that is there, oldest first. */
  popAll(): Uint8Array<ArrayBuffer> {
    const head = this.#indices[HEAD]!;
    const count = this.length;
    const result = new Uint8Array(count);
    const start = head & this.#mask;
    const first = Math.min(count, this.capacity - start);
    result.set(this.#bytes.subarray(start, start + first));
    result.set(this.#bytes.subarray(0, count - first), first);
    Atomics.store(this.#indices, HEAD, (head + count) | 0);
    return result;
  }
}
