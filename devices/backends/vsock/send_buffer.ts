/**
 * What a host program has not read yet: a ring of bytes in mapped memory, so
 * that one `writev` can take what is there.
 *
 * @module
 */
import { Mapping } from "../../../ffi/mmap.ts";

/** `struct iovec` as 32-bit words. */
const IOVEC_WORDS = 4;
const TWO_32 = 0x1_0000_0000;

/** A ring of bytes with two iovecs over what is in it. */
export class SendBuffer {
  /** Bytes that wait. */
  length = 0;
  /** Host pointer to the iovecs. */
  readonly iovecs: Deno.PointerValue;
  readonly #mapping: Mapping;
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;
  readonly #size: number;
  #first = 0;

  /** An empty ring of `size` bytes, a multiple of 16. */
  constructor(size: number) {
    this.#size = size;
    this.#mapping = new Mapping(size + 2 * IOVEC_WORDS * 4, { name: "vsock" });
    this.#bytes = new Uint8Array(this.#mapping.buffer, 0, size);
    this.#words = new Uint32Array(this.#mapping.buffer, size, 2 * IOVEC_WORDS);
    this.iovecs = Deno.UnsafePointer.create(
      BigInt(this.#mapping.address + size),
    );
  }

  /** Appends bytes; there must be room. */
  push(bytes: Uint8Array): void {
    const at = (this.#first + this.length) % this.#size;
    const first = Math.min(bytes.length, this.#size - at);
    this.#bytes.set(bytes.subarray(0, first), at);
    this.#bytes.set(bytes.subarray(first), 0);
    this.length += bytes.length;
  }

  /** Sets the iovecs to what is in the ring; their number, at most 2. */
  prepare(): number {
    const first = Math.min(this.length, this.#size - this.#first);
    this.#describe(0, this.#first, first);
    this.#describe(IOVEC_WORDS, 0, this.length - first);
    return this.length > first ? 2 : 1;
  }

  /** Forgets the first `count` bytes. */
  shift(count: number): void {
    this.length -= count;
    this.#first = this.length === 0 ? 0 : (this.#first + count) % this.#size;
  }

  /** Unmaps the ring. */
  close(): void {
    this.#mapping.unmap();
  }

  #describe(at: number, offset: number, length: number): void {
    const address = this.#mapping.address + offset;
    this.#words[at] = address;
    this.#words[at + 1] = address / TWO_32;
    this.#words[at + 2] = length;
    this.#words[at + 3] = 0;
  }
}
