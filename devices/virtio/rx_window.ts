/**
 * Receive buffers that the driver has posted and no frame has filled yet, as
 * one run of iovecs: a frame may spread over several chains (mergeable
 * buffers, virtio 1.2 §5.1.6.4), and each chain is taken from the ring once.
 *
 * @module
 */
import { Mapping } from "../../ffi/mmap.ts";
import type { GuestMemory } from "../../guest/memory.ts";
import { type DescriptorChain, IOVEC_SIZE } from "./chain.ts";

/** readv(2) takes no more iovecs. */
const IOV_MAX = 1024;
const TWO_32 = 0x1_0000_0000;

/** A first-in first-out run of buffers. The hot path allocates nothing. */
export class RxWindow {
  /** Chains that wait for a frame. */
  chains = 0;
  /** Bytes of those chains, as far as one readv reaches. */
  bytes = 0;
  readonly #mapping: Mapping;
  readonly #words: Uint32Array;
  readonly #pointers: Deno.PointerValue[] = [];
  readonly #guest: Float64Array; // per iovec
  readonly #capacity: number; // iovecs
  readonly #heads: Uint16Array; // per chain
  readonly #counts: Uint16Array;
  readonly #sizes: Float64Array;
  #firstIovec = 0;
  #iovecs = 0;
  #firstChain = 0;

  /** A window for a queue of `queueSize` descriptors. */
  constructor(queueSize: number) {
    this.#capacity = 4 * IOV_MAX;
    this.#mapping = new Mapping(this.#capacity * IOVEC_SIZE, {
      name: "receive iovecs",
    });
    this.#words = new Uint32Array(this.#mapping.buffer);
    this.#guest = new Float64Array(this.#capacity);
    // Twice the queue: entries move to the front only now and then.
    this.#heads = new Uint16Array(2 * queueSize);
    this.#counts = new Uint16Array(2 * queueSize);
    this.#sizes = new Float64Array(2 * queueSize);
  }

  /** Iovecs for one readv: all that wait. */
  get count(): number {
    return this.#iovecs;
  }

  /** Iovecs of the first chain. */
  get firstCount(): number {
    return this.#counts[this.#firstChain]!;
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

  /** The iovecs as an FFI pointer, made once per position. */
  get pointer(): Deno.PointerValue {
    return this.#pointers[this.#firstIovec] ??= Deno.UnsafePointer.create(
      BigInt(this.#mapping.address + this.#firstIovec * IOVEC_SIZE),
    );
  }

  /** True when another chain of `descriptors` fits into one readv. */
  hasRoomFor(descriptors: number): boolean {
    return this.#iovecs + descriptors <= IOV_MAX &&
      this.chains < this.#heads.length / 2;
  }

  /** Adds the writable part of a chain. */
  add(chain: DescriptorChain): void {
    this.#makeRoom(chain.writable.count);
    const { writable } = chain;
    const end = this.#firstIovec + this.#iovecs;
    for (let i = 0; i < writable.count; i++) {
      const at = (end + i) * 4;
      const host = writable.hostAddressAt(i);
      this.#words[at] = host;
      this.#words[at + 1] = host / TWO_32;
      this.#words[at + 2] = writable.lengthAt(i);
      this.#words[at + 3] = 0;
      this.#guest[end + i] = writable.guestAddressAt(i);
    }
    const last = this.#firstChain + this.chains;
    this.#heads[last] = chain.head;
    this.#counts[last] = writable.count;
    this.#sizes[last] = writable.bytes;
    this.#iovecs += writable.count;
    this.bytes += writable.bytes;
    this.chains++;
  }

  /** Takes the first chain out. */
  shift(): void {
    const count = this.firstCount;
    this.bytes -= this.firstBytes;
    this.#firstIovec += count;
    this.#iovecs -= count;
    this.#firstChain++;
    this.chains--;
  }

  /** Writes one byte at `offset` of the first chain, if it is that long. */
  pokeFirst(memory: GuestMemory, offset: number, value: number): void {
    for (let i = 0; i < this.firstCount; i++) {
      const index = this.#firstIovec + i;
      const length = this.#words[index * 4 + 2]!;
      if (offset < length) {
        const address = this.#guest[index]! + offset;
        const region = memory.find(address, 1)!;
        region.u8[address - region.guestAddress] = value;
        return;
      }
      offset -= length;
    }
  }

  /** Forgets all chains. */
  clear(): void {
    this.chains = 0;
    this.bytes = 0;
    this.#iovecs = 0;
    this.#firstIovec = 0;
    this.#firstChain = 0;
  }

  /** Unmaps the iovecs. */
  close(): void {
    this.#mapping.unmap();
  }

  /** Moves what waits to the front when the end is near. */
  #makeRoom(iovecs: number): void {
    const endIovec = this.#firstIovec + this.#iovecs;
    if (endIovec + iovecs > this.#capacity) {
      this.#words.copyWithin(0, this.#firstIovec * 4, endIovec * 4);
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
