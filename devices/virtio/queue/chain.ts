/**
 * A descriptor chain (virtio 1.2 §2.7.5) as host iovecs, ready for `readv`
 * and `writev` straight into guest memory.
 *
 * @module
 */
import { Mapping } from "../../../ffi/mmap.ts";
import type { GuestMemory } from "../../../guest/memory.ts";

const IOVEC_WORDS = 4; // struct iovec: u64 base, u64 length
/** `sizeof(struct iovec)`. */
export const IOVEC_SIZE = 16;
const TWO_32 = 0x1_0000_0000;

/** The device-readable or the device-writable part of a chain. */
export class ChainPart {
  /** Number of iovecs that are left. */
  count = 0;
  /** Bytes that are left. */
  bytes = 0;
  readonly #base: number;
  readonly #words: Uint32Array;
  readonly #guest: Float64Array;
  readonly #pointers: Deno.PointerValue[] = [];
  #first = 0;

  /** A part over `capacity` iovecs of mapped memory at `address`. */
  constructor(
    buffer: ArrayBuffer,
    offset: number,
    address: number,
    capacity: number,
  ) {
    this.#words = new Uint32Array(buffer, offset, capacity * IOVEC_WORDS);
    this.#guest = new Float64Array(capacity);
    this.#base = address;
  }

  /** Host address of the first iovec that is left. */
  get iovecs(): number {
    // Not a field: storing a number this large would allocate.
    return this.#base + this.#first * IOVEC_SIZE;
  }

  /** Empties the part. */
  clear(): void {
    this.count = 0;
    this.bytes = 0;
    this.#first = 0;
  }

  /** Adds a checked range. */
  add(guestAddress: number, hostAddress: number, length: number): void {
    const index = this.#first + this.count++;
    const at = index * IOVEC_WORDS;
    this.#words[at] = hostAddress;
    this.#words[at + 1] = hostAddress / TWO_32;
    this.#words[at + 2] = length;
    this.#words[at + 3] = 0;
    this.#guest[index] = guestAddress;
    this.bytes += length;
  }

  /** {@linkcode iovecs} as an FFI pointer, made once per position. */
  get pointer(): Deno.PointerValue {
    return this.#pointers[this.#first] ??= Deno.UnsafePointer.create(
      BigInt(this.iovecs),
    );
  }

  /** Length of the first range that is left. */
  get firstLength(): number {
    return this.#words[this.#first * IOVEC_WORDS + 2]!;
  }

  /** Guest address of range `index` of those left. */
  guestAddressAt(index: number): number {
    return this.#guest[this.#first + index]!;
  }

  /** Length of range `index` of those left. */
  lengthAt(index: number): number {
    return this.#words[(this.#first + index) * IOVEC_WORDS + 2]!;
  }

  /** Host address of range `index` of those left. */
  hostAddressAt(index: number): number {
    const at = (this.#first + index) * IOVEC_WORDS;
    return this.#words[at]! + this.#words[at + 1]! * TWO_32;
  }

  /** Drops the first `bytes` bytes, at most all. */
  skip(bytes: number): void {
    this.bytes -= bytes;
    while (bytes > 0) {
      const length = this.firstLength;
      if (length > bytes) {
        this.#shorten(bytes);
        return;
      }
      bytes -= length;
      this.#first++;
      this.count--;
    }
  }

  /** Keeps the first `bytes` bytes, at most all, and drops the rest. */
  truncate(bytes: number): void {
    let drop = this.bytes - bytes;
    if (drop <= 0) return;
    this.bytes = bytes;
    while (drop > 0) {
      const at = (this.#first + this.count - 1) * IOVEC_WORDS + 2;
      const length = this.#words[at]!;
      if (length > drop) {
        this.#words[at] = length - drop;
        return;
      }
      drop -= length;
      this.count--;
    }
  }

  /** Becomes the same ranges as `part`, of its own: to be cut to size. */
  copy(part: ChainPart): void {
    this.clear();
    for (let i = 0; i < part.count; i++) {
      this.add(
        part.guestAddressAt(i),
        part.hostAddressAt(i),
        part.lengthAt(i),
      );
    }
  }

  /** Drops the last byte and returns its guest address; there must be one. */
  takeLast(): number {
    const index = this.#first + this.count - 1;
    const at = index * IOVEC_WORDS + 2;
    const length = this.#words[at]! - 1;
    const address = this.#guest[index]! + length;
    this.#words[at] = length;
    if (length === 0) this.count--;
    this.bytes--;
    return address;
  }

  /** Guest address of the first byte that is left. */
  get guestAddress(): number {
    return this.#guest[this.#first]!;
  }

  /** Copies the first `length` bytes out; false when there are fewer. */
  peek(memory: GuestMemory, target: Uint8Array, length: number): boolean {
    if (this.bytes < length) return false;
    let done = 0;
    for (let i = 0; done < length; i++) {
      const address = this.guestAddressAt(i);
      const region = memory.find(address, this.lengthAt(i))!;
      const take = Math.min(length - done, this.lengthAt(i));
      const start = address - region.guestAddress;
      for (let k = 0; k < take; k++) target[done++] = region.u8[start + k]!;
    }
    return true;
  }

  /** Copies bytes to the start; returns how many fitted. */
  poke(memory: GuestMemory, source: Uint8Array): number {
    const length = Math.min(source.length, this.bytes);
    let done = 0;
    for (let i = 0; done < length; i++) {
      const address = this.guestAddressAt(i);
      const region = memory.find(address, this.lengthAt(i))!;
      const take = Math.min(length - done, this.lengthAt(i));
      const start = address - region.guestAddress;
      for (let k = 0; k < take; k++) region.u8[start + k] = source[done++]!;
    }
    return length;
  }

  #shorten(bytes: number): void {
    const at = this.#first * IOVEC_WORDS;
    const address = this.hostAddressAt(0) + bytes;
    this.#words[at] = address;
    this.#words[at + 1] = address / TWO_32;
    this.#words[at + 2]! -= bytes;
    this.#guest[this.#first]! += bytes;
  }
}

/** One chain: its head, and both parts. Reused for every chain of a slot. */
export class DescriptorChain {
  /** Index of the first descriptor: identifies the chain to the driver. */
  head = 0;
  /** What the driver wrote for the device. */
  readonly readable: ChainPart;
  /** Where the device writes for the driver. */
  readonly writable: ChainPart;

  /** A chain over `2 * capacity` iovecs at `offset` of the mapping. */
  constructor(mapping: Mapping, offset: number, capacity: number) {
    const part = (at: number) =>
      new ChainPart(mapping.buffer, at, mapping.address + at, capacity);
    this.readable = part(offset);
    this.writable = part(offset + capacity * IOVEC_SIZE);
  }

  /** Empties both parts. */
  clear(): void {
    this.readable.clear();
    this.writable.clear();
  }
}

/** Chains with mapped iovecs, one per request that may be in flight. */
export class ChainPool {
  /** The chains; index is the slot. */
  readonly chains: readonly DescriptorChain[];
  readonly #mapping: Mapping;

  /** `slots` chains of at most `capacity` descriptors in each part. */
  constructor(slots: number, capacity: number) {
    const stride = 2 * capacity * IOVEC_SIZE;
    this.#mapping = new Mapping(slots * stride, { name: "iovecs" });
    this.chains = Array.from(
      { length: slots },
      (_, slot) => new DescriptorChain(this.#mapping, slot * stride, capacity),
    );
  }

  /** Unmaps the iovecs. */
  close(): void {
    this.#mapping.unmap();
  }
}
