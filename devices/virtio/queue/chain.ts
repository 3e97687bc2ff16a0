/**
 * A descriptor chain (virtio 1.2 §2.7.5) as host iovecs, ready for `readv`
 * and `writev` straight into guest memory.
 *
 * @module
 */
import { IOVEC_SIZE, Iovecs } from "../../../ffi/iovecs.ts";
import type { Mapping } from "../../../ffi/memory/mmap.ts";
import type { GuestMemory } from "../../../guest/memory.ts";

/** Bytes of a range: its iovec, and its guest address. */
const PART_SIZE = IOVEC_SIZE + 8;

/** The device-readable or the device-writable part of a chain. */
export class ChainPart {
  /** Number of iovecs that are left. */
  count = 0;
  /** Bytes that are left. */
  bytes = 0;
  readonly #iovecs: Iovecs;
  readonly #guest: Float64Array;
  #first = 0;

  /** A part of at most `capacity` ranges, over {@linkcode PART_SIZE} each. */
  constructor(mapping: Mapping, offset: number, capacity: number) {
    this.#iovecs = new Iovecs(mapping, offset, capacity);
    // In the mapping, too: what no chain has used costs no memory.
    const guest = offset + capacity * IOVEC_SIZE;
    this.#guest = new Float64Array(mapping.buffer, guest, capacity);
  }

  /** Host address of the first iovec that is left. */
  get iovecs(): number {
    return this.#iovecs.addressOf(this.#first);
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
    this.#iovecs.set(index, hostAddress, length);
    this.#guest[index] = guestAddress;
    this.bytes += length;
  }

  /** {@linkcode iovecs} as an FFI pointer, made once per position. */
  get pointer(): Deno.PointerValue {
    return this.#iovecs.pointerTo(this.#first);
  }

  /** Length of the first range that is left. */
  get firstLength(): number {
    return this.#iovecs.length(this.#first);
  }

  /** Guest address of range `index` of those left. */
  guestAddressAt(index: number): number {
    return this.#guest[this.#first + index]!;
  }

  /** Length of range `index` of those left. */
  lengthAt(index: number): number {
    return this.#iovecs.length(this.#first + index);
  }

  /** Host address of range `index` of those left. */
  hostAddressAt(index: number): number {
    return this.#iovecs.base(this.#first + index);
  }

  /** Drops the first `bytes` bytes, at most all. */
  skip(bytes: number): void {
    this.bytes -= bytes;
    while (bytes > 0) {
      const first = this.#first;
      const iovecs = this.#iovecs;
      const length = iovecs.length(first);
      if (length > bytes) {
        iovecs.set(first, iovecs.base(first) + bytes, length - bytes);
        this.#guest[first]! += bytes;
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
      const last = this.#first + this.count - 1;
      const length = this.#iovecs.length(last);
      if (length > drop) {
        this.#iovecs.setLength(last, length - drop);
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
      const address = part.guestAddressAt(i);
      this.add(address, part.hostAddressAt(i), part.lengthAt(i));
    }
  }

  /** Drops the last byte and returns its guest address; there must be one. */
  takeLast(): number {
    const index = this.#first + this.count - 1;
    const length = this.#iovecs.length(index) - 1;
    const address = this.#guest[index]! + length;
    this.#iovecs.setLength(index, length);
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
}

/**
 * One chain: its head, and both parts. Reused for every chain of a slot; made
 * by {@linkcode VirtQueue.chain}.
 */
export class DescriptorChain {
  /** Index of the first descriptor: identifies the chain to the driver. */
  head = 0;
  /** Descriptors that there is room for; a longer chain breaks its queue. */
  readonly capacity: number;
  /** What the driver wrote for the device. */
  readonly readable: ChainPart;
  /** Where the device writes for the driver. */
  readonly writable: ChainPart;

  /** Bytes of mapped memory that a chain of `capacity` descriptors takes. */
  static bytes(capacity: number): number {
    return 2 * capacity * PART_SIZE;
  }

  /** A chain over {@linkcode DescriptorChain.bytes} at `offset`. */
  constructor(mapping: Mapping, offset: number, capacity: number) {
    this.capacity = capacity;
    this.readable = new ChainPart(mapping, offset, capacity);
    this.writable = new ChainPart(
      mapping,
      offset + capacity * PART_SIZE,
      capacity,
    );
  }

  /** Empties both parts. */
  clear(): void {
    this.readable.clear();
    this.writable.clear();
  }
}
