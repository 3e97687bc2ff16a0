/**
 * Receive buffers that the driver has posted, as one run of iovecs: a frame
 * may spread over several chains (mergeable buffers, virtio 1.2 §5.1.6.4), and
 * each chain is taken from the ring once.
 *
 * @module
 */
import { IOV_MAX, IOVEC_SIZE, Iovecs } from "../../../ffi/iovecs.ts";
import { Mapping } from "../../../ffi/memory/mmap.ts";
import type { GuestMemory } from "../../../guest/memory.ts";
import type { Frame } from "../../backends/net/backend.ts";
import type { DescriptorChain } from "../queue/chain.ts";
import type { VirtQueue } from "../queue/queue.ts";
import { NET_HEADER_NUM_BUFFERS } from "./spec.ts";

/** Iovecs of buffers; behind them the spill's, and one that is put aside. */
const CAPACITY = 2 * IOV_MAX, SPILL = CAPACITY, ASIDE = CAPACITY + 1;
/** Those that wait move to the front when as many were used before them. */
const USED_MAX = 256;

/** What is known of a chain; `BUFFERS` of the frame that begins there, or 0. */
const HEAD = 0, COUNT = 1, SIZE = 2, WRITTEN = 3, BUFFERS = 4, FIELDS = 5;

/**
 * A first-in first-out run of buffers: some with frames, which the driver is
 * to have back, then those that wait for one. Between two frames little is
 * done, since a CPU comes out of each system call with its predictions lost.
 *
 * Behind the buffers that are offered for a frame, one more iovec leads to
 * memory of our own, the spill: it takes the end of a frame that is larger.
 */
export class RxWindow implements Frame {
  /** Chains that wait for a frame. */
  chains = 0;
  /** Bytes of those chains. */
  bytes = 0;
  /** The device's room for the rest of a frame. */
  readonly spill: Uint8Array;
  readonly #mapping: Mapping;
  readonly #iovecs: Iovecs;
  readonly #guest = new Float64Array(CAPACITY); // per iovec
  readonly #about: Float64Array; // per chain, FIELDS each
  #firstIovec = 0;
  #iovecCount = 0;
  #firstChain = 0;
  #offered = 0; // iovecs
  #filledIovec = 0; // those with frames begin there, up to the first
  #filledChain = 0;

  /** A window for a queue of `queueSize`, and frames of `frameMax` bytes. */
  constructor(queueSize: number, frameMax: number) {
    const at = (CAPACITY + 2) * IOVEC_SIZE;
    this.#mapping = new Mapping(at + frameMax, { name: "receive iovecs" });
    this.spill = new Uint8Array(this.#mapping.buffer, at, frameMax);
    this.#iovecs = new Iovecs(this.#mapping, 0, CAPACITY + 2);
    this.#iovecs.set(SPILL, this.#mapping.address + at, frameMax);
    this.#about = new Float64Array((USED_MAX + queueSize) * FIELDS);
  }

  /** Iovecs for one readv: those that are offered, and the spill. */
  get count(): number {
    return this.#offered + 1;
  }

  /** Host address of the iovecs. */
  get iovecs(): number {
    return this.#iovecs.addressOf(this.#firstIovec);
  }

  /** The iovecs as an FFI pointer, made once per position. */
  get pointer(): Deno.PointerValue {
    return this.#iovecs.pointerTo(this.#firstIovec);
  }

  guestAddressAt(index: number): number {
    return index < this.#offered ? this.#guest[this.#firstIovec + index]! : -1;
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
    return this.#iovecCount + 1 + descriptors <= IOV_MAX;
  }

  /** Adds the writable part of a chain; none with a frame may be there. */
  add({ head, writable }: DescriptorChain): void {
    const { count, bytes } = writable;
    if (this.#firstIovec >= USED_MAX || this.#firstChain >= USED_MAX) {
      this.#moveToFront();
    }
    const end = this.#firstIovec + this.#iovecCount;
    for (let i = 0; i < count; i++) {
      const host = writable.hostAddressAt(i);
      this.#iovecs.set(end + i, host, writable.lengthAt(i));
      this.#guest[end + i] = writable.guestAddressAt(i);
    }
    const last = (this.#firstChain + this.chains) * FIELDS;
    this.#about[last + HEAD] = head;
    this.#about[last + COUNT] = count;
    this.#about[last + SIZE] = bytes;
    this.#iovecCount += count;
    this.bytes += bytes;
    this.chains++;
  }

  /**
   * Offers the first chain for a frame, and more until they have `bytes`, or
   * all. Until {@linkcode withdraw}, the spill is behind them.
   *
   * @returns their bytes
   */
  offer(bytes: number): number {
    let at = this.#firstChain * FIELDS;
    let offered = this.#about[at + COUNT]!;
    let room = this.#about[at + SIZE]!;
    while (room < bytes && offered < this.#iovecCount) {
      at += FIELDS;
      offered += this.#about[at + COUNT]!;
      room += this.#about[at + SIZE]!;
    }
    const end = this.#firstIovec + offered;
    this.#iovecs.copy(end, ASIDE);
    this.#iovecs.copy(SPILL, end);
    this.#offered = offered;
    return room;
  }

  /** The iovec that was put aside for the spill is in its place again. */
  withdraw(): void {
    this.#iovecs.copy(ASIDE, this.#firstIovec + this.#offered);
  }

  /**
   * There is a frame of `length` bytes, at most {@linkcode bytes}.
   *
   * @returns in how many chains
   */
  take(length: number): number {
    const start = this.#firstChain * FIELDS;
    let at = start;
    for (let left = length; left > 0; at += FIELDS) {
      const size = this.#about[at + SIZE]!;
      const count = this.#about[at + COUNT]!;
      this.#about[at + WRITTEN] = left < size ? left : size;
      this.#about[at + BUFFERS] = 0;
      this.#firstIovec += count;
      this.#iovecCount -= count;
      this.bytes -= size;
      left -= size;
    }
    const buffers = (at - start) / FIELDS;
    this.#about[start + BUFFERS] = buffers;
    this.#firstChain += buffers;
    this.chains -= buffers;
    return buffers;
  }

  /** Gives what has been taken back to the driver. */
  giveBack(queue: VirtQueue, memory: GuestMemory): void {
    const about = this.#about;
    const end = this.#firstChain * FIELDS;
    let iovec = this.#filledIovec;
    for (let at = this.#filledChain * FIELDS; at < end; at += FIELDS) {
      const buffers = about[at + BUFFERS]!;
      if (buffers > 0) {
        // §5.1.6.4: num_buffers is 1 without mergeable buffers, too.
        this.#poke(memory, iovec, NET_HEADER_NUM_BUFFERS, buffers & 0xff);
        this.#poke(memory, iovec, NET_HEADER_NUM_BUFFERS + 1, buffers >> 8);
      }
      queue.push(about[at + HEAD]!, about[at + WRITTEN]!);
      iovec += about[at + COUNT]!;
    }
    this.#filledIovec = iovec;
    this.#filledChain = this.#firstChain;
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
        const last = Math.min(end, to) - from;
        const part = this.spill.subarray(start - from, last);
        memory.write(this.#guest[i]!, part);
      }
      start = end;
    }
  }

  /** Forgets all chains. */
  clear(): void {
    this.chains = this.bytes = this.#iovecCount = 0;
    this.#firstIovec = this.#filledIovec = 0;
    this.#firstChain = this.#filledChain = 0;
  }

  /** Unmaps the iovecs. */
  close(): void {
    this.#mapping.unmap();
  }

  /** Writes byte `offset` of the frame that begins with an iovec. */
  #poke(memory: GuestMemory, iovec: number, offset: number, value: number) {
    while (offset >= this.#iovecs.length(iovec)) {
      offset -= this.#iovecs.length(iovec++);
    }
    const address = this.#guest[iovec]! + offset;
    const region = memory.find(address, 1)!;
    region.u8[address - region.guestAddress] = value;
  }

  #moveToFront(): void {
    const end = this.#firstIovec + this.#iovecCount;
    this.#iovecs.moveToFront(this.#firstIovec, end);
    this.#guest.copyWithin(0, this.#firstIovec, end);
    const chain = this.#firstChain * FIELDS;
    this.#about.copyWithin(0, chain, chain + this.chains * FIELDS);
    this.#firstIovec = this.#filledIovec = 0;
    this.#firstChain = this.#filledChain = 0;
  }
}
