/**
 * `struct iovec` (readv(2)): what the kernel is told of memory that it reads
 * or fills. This is the only place that writes one.
 *
 * @module
 */
import type { Mapping } from "./memory/mmap.ts";

/** `sizeof(struct iovec)`: u64 iov_base, u64 iov_len. */
export const IOVEC_SIZE = 16;
/** The most iovecs of one system call (`UIO_MAXIOV`). */
export const IOV_MAX = 1024;

// As 32-bit words: a BigInt per field would allocate.
const WORDS = 4;
const BASE = 0;
const LENGTH = 2;
const TWO_32 = 0x1_0000_0000;

/**
 * An array of iovecs in mapped memory, where the kernel may keep a pointer to
 * it. Lengths are below 4 GiB. Nothing is allocated after the start.
 */
export class Iovecs {
  /** Number of iovecs that there is room for. */
  readonly capacity: number;
  readonly #address: number;
  readonly #words: Uint32Array;
  readonly #pointers: Deno.PointerValue[] = [];

  /** Room for `capacity` iovecs at byte `offset` of `mapping`. */
  constructor(mapping: Mapping, offset: number, capacity: number) {
    this.capacity = capacity;
    this.#address = mapping.address + offset;
    this.#words = new Uint32Array(mapping.buffer, offset, capacity * WORDS);
  }

  /** Host address of iovec `index`. */
  addressOf(index: number): number {
    // Not a field: storing a number this large would allocate.
    return this.#address + index * IOVEC_SIZE;
  }

  /** {@linkcode addressOf} as an FFI pointer, made once per index. */
  pointerTo(index: number): Deno.PointerValue {
    return this.#pointers[index] ??= Deno.UnsafePointer.create(
      BigInt(this.addressOf(index)),
    );
  }

  /** Iovec `index` is `length` bytes at host address `base`. */
  set(index: number, base: number, length: number): void {
    const at = index * WORDS;
    this.#words[at + BASE] = base;
    this.#words[at + BASE + 1] = base / TWO_32;
    this.#words[at + LENGTH] = length;
    this.#words[at + LENGTH + 1] = 0;
  }

  /** Host address of the memory that iovec `index` names. */
  base(index: number): number {
    const at = index * WORDS + BASE;
    return this.#words[at]! + this.#words[at + 1]! * TWO_32;
  }

  /** Bytes of the memory that iovec `index` names. */
  length(index: number): number {
    return this.#words[index * WORDS + LENGTH]!;
  }

  /** Iovec `index` ends earlier or later. */
  setLength(index: number, length: number): void {
    this.#words[index * WORDS + LENGTH] = length;
  }

  /** Iovec `to` becomes what iovec `from` is. */
  copy(from: number, to: number): void {
    const words = this.#words;
    const source = from * WORDS;
    const target = to * WORDS;
    words[target] = words[source]!;
    words[target + 1] = words[source + 1]!;
    words[target + 2] = words[source + 2]!;
    words[target + 3] = 0;
  }

  /** Moves iovecs `from` to `end - 1` to the front. */
  moveToFront(from: number, end: number): void {
    this.#words.copyWithin(0, from * WORDS, end * WORDS);
  }
}
