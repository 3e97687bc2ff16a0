/**
 * Receive buffers that the driver has posted and no frame has filled yet, as
 * one run of iovecs: a frame may spread over several chains (mergeable
 * buffers, virtio 1.2 §5.1.6.4), and each chain is taken from the ring once.
 *
 * @module
 */
import { IOV_MAX, IOVEC_SIZE, Iovecs } from "../../../ffi/iovecs.ts";
import { Mapping } from "../../../ffi/memory/mmap.ts";
import type { GuestMemory } from "../../../guest/memory.ts";
import type { Frame } from "../../backends/net/backend.ts";
import type { DescriptorChain } from "../queue/chain.ts";

/**
 * A first-in first-out run of buffers. The hot path allocates nothing.
 *
 * Behind the buffers, one more iovec leads to memory of our own, the spill:
 * it takes the end of a frame that is larger than what is posted.
 */
export class RxWindow implements Frame {
  /** Chains that wait for a frame. */
  chains = 0;
  /** Bytes of those chains, as far as one readv reaches. */
  bytes = 0;
  readonly #mapping: Mapping;
  readonly #spill: Mapping;
  readonly #spilled: Uint8Array;
  readonly #iovecs: Iovecs;
  readonly #guest: Float64Array; // per iovec
  readonly #heads: Uint16Array; // per chain
  readonly #counts: Uint16Array;
  readonly #sizes: Float64Array;
  #firstIovec = 0;
  #iovecCount = 0;
  #firstChain = 0;

  /** A window for a queue of `queueSize`, and frames of `frameMax` bytes. */
  constructor(queueSize: number, frameMax: number) {
    const capacity = 4 * IOV_MAX;
    using undo = new DisposableStack(); // unless all goes well
    this.#mapping = undo.use(
      new Mapping(capacity * IOVEC_SIZE, { name: "receive iovecs" }),
    );
    this.#spill = undo.use(new Mapping(frameMax, { name: "receive spill" }));
    this.#spilled = new Uint8Array(this.#spill.buffer);
    this.#iovecs = new Iovecs(this.#mapping, 0, capacity);
    this.#guest = new Float64Array(capacity);
    // Twice the queue: entries move to the front only now and then.
    this.#heads = new Uint16Array(2 * queueSize);
    this.#counts = new Uint16Array(2 * queueSize);
    this.#sizes = new Float64Array(2 * queueSize);
    undo.move();
  }

  /** Iovecs for one readv: all that wait, and the spill. */
  get count(): number {
    return this.#iovecCount + 1;
  }

  /** Bytes of the first chain. */
  get firstBytes(): number {
    return this.#sizes[this.#firstChain]!;
  }

  /** Bytes of chain `index` of those that wait. */
  sizeOf(index: number): number {
    return this.#sizes[this.#firstChain + index]!;
  }

  /** Head of the first chain. */
  get firstHead(): number {
    return this.#heads[this.#firstChain]!;
  }

  /** Host address of the iovecs. */
  get iovecs(): number {
    return this.#iovecs.addressOf(this.#firstIovec);
  }

  /** The iovecs as an FFI pointer, made once per position. */
  get pointer(): Deno.PointerValue {
    return this.#iovecs.pointerTo(this.#firstIovec);
  }

  /** The device's room for the rest of a frame. */
  get spill(): Uint8Array {
    return this.#spilled;
  }

  guestAddressAt(index: number): number {
    return index < this.#iovecCount
      ? this.#guest[this.#firstIovec + index]!
      : -1;
  }

  lengthAt(index: number): number {
    return this.#iovecs.length(this.#firstIovec + index);
  }

  /** True when the driver can hardly post more in a queue of that size. */
  holdsAllOf(queueSize: number): boolean {
    return this.chains >= queueSize || this.#iovecCount >= queueSize;
  }

  /** True when another chain of `descriptors` fits into one readv. */
  hasRoomFor(descriptors: number): boolean {
    return this.#iovecCount + 1 + descriptors <= IOV_MAX &&
      this.chains < this.#heads.length / 2;
  }

  /** Adds the writable part of a chain. */
  add(chain: DescriptorChain): void {
    this.#makeRoom(chain.writable.count);
    const { writable } = chain;
    const end = this.#firstIovec + this.#iovecCount;
    for (let i = 0; i < writable.count; i++) {
      const host = writable.hostAddressAt(i);
      this.#iovecs.set(end + i, host, writable.lengthAt(i));
      this.#guest[end + i] = writable.guestAddressAt(i);
    }
    const { address, size } = this.#spill;
    this.#iovecs.set(end + writable.count, address, size);
    const last = this.#firstChain + this.chains;
    this.#heads[last] = chain.head;
    this.#counts[last] = writable.count;
    this.#sizes[last] = writable.bytes;
    this.#iovecCount += writable.count;
    this.bytes += writable.bytes;
    this.chains++;
  }

  /** Takes the first chain out. */
  shift(): void {
    const count = this.#counts[this.#firstChain]!;
    this.bytes -= this.firstBytes;
    this.#firstIovec += count;
    this.#iovecCount -= count;
    this.#firstChain++;
    this.chains--;
  }

  /** Writes one byte at `offset` of the frame, if the chains are that long. */
  poke(memory: GuestMemory, offset: number, value: number): void {
    const end = this.#firstIovec + this.#iovecCount;
    for (let index = this.#firstIovec; index < end; index++) {
      const length = this.#iovecs.length(index);
      if (offset < length) {
        const address = this.#guest[index]! + offset;
        const region = memory.find(address, 1)!;
        region.u8[address - region.guestAddress] = value;
        return;
      }
      offset -= length;
    }
  }

  /**
   * Copies the spill, bytes `from` to `to` of a frame, to the buffers that
   * came after it: the first of them is for byte `from`.
   */
  unspill(memory: GuestMemory, from: number, to: number): void {
    let start = 0; // of the iovec, in the frame
    for (let i = this.#firstIovec; start < to; i++) {
      const end = start + this.#iovecs.length(i);
      if (start >= from) {
        const part = this.#spilled.subarray(
          start - from,
          Math.min(end, to) - from,
        );
        memory.write(this.#guest[i]!, part);
      }
      start = end;
    }
  }

  /** Forgets all chains. */
  clear(): void {
    this.chains = 0;
    this.bytes = 0;
    this.#iovecCount = 0;
    this.#firstIovec = 0;
    this.#firstChain = 0;
  }

  /** Unmaps the iovecs. */
  close(): void {
    this.#mapping.unmap();
    this.#spill.unmap();
  }

  /** Moves what waits to the front when the end is near. */
  #makeRoom(iovecs: number): void {
    const endIovec = this.#firstIovec + this.#iovecCount;
    if (endIovec + iovecs + 1 > this.#iovecs.capacity) {
      this.#iovecs.moveToFront(this.#firstIovec, endIovec);
      this.#guest.copyWithin(0, this.#firstIovec, endIovec);
      this.#firstIovec = 0;
    }
    const endChain = this.#firstChain + this.chains;
    if (endChain + 1 > this.#heads.length) {
      this.#heads.copyWithin(0, this.#firstChain, endChain);
      this.#counts.copyWithin(0, this.#firstChain, endChain);
      this.#sizes.copyWithin(0, this.#firstChain, endChain);
      this.#firstChain = 0;
    }
  }
}
