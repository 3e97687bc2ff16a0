/**
 * What a host program has not read yet: a ring of bytes in mapped memory, so
 * that one `writev` can take what is there.
 *
 * @module
 */
import { IOVEC_SIZE, Iovecs } from "../../../ffi/iovecs.ts";
import { Mapping } from "../../../ffi/memory/mmap.ts";

/** A ring of bytes with two iovecs over what is in it. */
export class SendBuffer {
  /** Bytes that wait. */
  length = 0;
  /** Host pointer to the iovecs. */
  readonly iovecs: Deno.PointerValue;
  readonly #mapping: Mapping;
  readonly #bytes: Uint8Array;
  readonly #iovecs: Iovecs;
  readonly #size: number;
  #first = 0;

  /** An empty ring of `size` bytes, a multiple of 16. */
  constructor(size: number) {
    this.#size = size;
    this.#mapping = new Mapping(size + 2 * IOVEC_SIZE, { name: "vsock" });
    this.#bytes = new Uint8Array(this.#mapping.buffer, 0, size);
    this.#iovecs = new Iovecs(this.#mapping, size, 2);
    this.iovecs = this.#iovecs.pointerTo(0);
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
    const { address } = this.#mapping;
    this.#iovecs.set(0, address + this.#first, first);
    this.#iovecs.set(1, address, this.length - first);
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
}
