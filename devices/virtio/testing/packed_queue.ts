/**
 * The driver's side of a packed virtqueue (virtio 1.2 §2.8), for tests and
 * benchmarks: well-formed chains by {@linkcode PackedDriverQueue.add}, and any
 * bytes at all by {@linkcode PackedDriverQueue.describe}.
 *
 * @module
 */
import type { GuestMemory, MemoryRegion } from "../../../guest/memory.ts";
import { needEvent, type QueueState } from "../queue/queue.ts";
import {
  DESCRIPTOR_SIZE,
  DescriptorFlag,
  type DriverBuffer,
  type DriverQueueOptions,
  type DriverRing,
  writeDescriptor,
} from "./queue.ts";

const DESC_WORDS = 4;
const LEN = 2;
const ID_FLAGS = 3;
const FLAGS_SHIFT = 16;
const F_AVAIL = 1 << 7;
const F_USED = 1 << 15;
const WRAP = 0x8000;
const EVENT_BYTES = 4; // struct pvirtq_event_suppress

/** `flags` of `struct pvirtq_event_suppress` (§2.8.14). */
export const EventFlags = { ENABLE: 0, DISABLE: 1, DESC: 2 } as const;

/** Bytes that a packed queue of `size` descriptors takes, with both events. */
export function packedQueueBytes(size: number): number {
  return size * DESCRIPTOR_SIZE + 2 * EVENT_BYTES;
}

/** A packed queue as its driver sees it. */
export class PackedDriverQueue implements DriverRing {
  readonly index: number;
  readonly size: number;
  readonly desc: number;
  /** Guest address of the driver's event suppression (§2.8.10). */
  readonly avail: number;
  /** Guest address of the device's. */
  readonly used: number;
  usedLength = 0;
  readonly #memory: GuestMemory;
  readonly #eventIdx: boolean;
  readonly #indirect: boolean;
  readonly #region: MemoryRegion;
  readonly #base: number; // of #region, in 32-bit words
  // The driver's own books, per buffer id: the device can't write them.
  readonly #slots: Uint16Array;
  readonly #ids: Uint16Array; // a stack of free ids
  #idCount: number;
  #free: number;
  #next = 0;
  #wrap = true;
  #added = 0; // descriptors since the last doorbell
  #lastUsed = 0;
  #usedWrap = true;

  /** Zeroes the ring in `memory`, with all descriptors free. */
  constructor(memory: GuestMemory, options: DriverQueueOptions) {
    const { size, address } = options;
    this.index = options.index ?? 0;
    this.size = size;
    this.desc = address;
    this.avail = address + size * DESCRIPTOR_SIZE;
    this.used = this.avail + EVENT_BYTES;
    this.#memory = memory;
    this.#eventIdx = options.eventIdx ?? false;
    this.#indirect = options.indirect ?? true;
    memory.bytes(address, packedQueueBytes(size)).fill(0); // or throws
    this.#region = memory.find(address, packedQueueBytes(size))!;
    this.#base = (address - this.#region.guestAddress) / 4;
    this.#slots = new Uint16Array(size);
    this.#ids = Uint16Array.from({ length: size }, (_, i) => size - 1 - i);
    this.#idCount = size;
    this.#free = size;
  }

  state(): QueueState {
    return {
      size: this.size,
      desc: this.desc,
      avail: this.avail,
      used: this.used,
      eventIdx: this.#eventIdx,
      indirect: this.#indirect,
      nextAvail: WRAP,
      nextUsed: WRAP,
    };
  }

  get freeDescriptors(): number {
    return this.#free;
  }

  /** The slot and wrap counter that the next chain starts at. */
  get position(): { slot: number; wrap: boolean } {
    return { slot: this.#next, wrap: this.#wrap };
  }

  /** Word `index` of the ring's slot `slot`. */
  word(slot: number, index: number): number {
    return this.#region.u32[this.#base + slot * DESC_WORDS + index]!;
  }

  /** The device's wish: a word of `struct pvirtq_event_suppress`. */
  get deviceEvent(): number {
    const at = this.#base + this.size * DESC_WORDS + 1;
    return Atomics.load(this.#region.u32, at);
  }

  /** The driver's wish, any word. */
  set driverEvent(value: number) {
    const at = this.#base + this.size * DESC_WORDS;
    Atomics.store(this.#region.u32, at, value);
  }

  /** Writes descriptor `slot` as it is given, whether valid or not. */
  describe(
    slot: number,
    address: number,
    length: number,
    id: number,
    flags: number,
  ): void {
    const at = 4 * this.#base + slot * DESCRIPTOR_SIZE;
    writeDescriptor(this.#region, at, address, length, id, flags);
  }

  add(buffers: readonly DriverBuffer[]): number {
    const count = buffers.length;
    if (count > this.#free || this.#idCount === 0) return -1;
    const id = this.#ids[--this.#idCount]!;
    const first = this.#next;
    const firstFlags = this.#flagsOf(buffers, 0);
    for (let i = 0; i < count; i++) {
      const { address, length } = buffers[i]!;
      // The first one's flags come last: they make all available.
      const flags = i === 0 ? 0 : this.#flagsOf(buffers, i);
      if (i > 0) this.describe(this.#next, address, length, id, flags);
      this.#advance();
    }
    const { address, length } = buffers[0]!;
    const at = this.#base + first * DESC_WORDS;
    this.#region.u32[at] = address;
    this.#region.u32[at + 1] = address / 0x1_0000_0000;
    this.#region.u32[at + LEN] = length;
    this.#show(first, id, firstFlags);
    this.#slots[id] = count;
    this.#free -= count;
    this.#added += count;
    return id;
  }

  addIndirect(buffers: readonly DriverBuffer[], table: number): number {
    if (this.#free === 0 || this.#idCount === 0) return -1;
    const bytes = buffers.length * DESCRIPTOR_SIZE;
    const region = this.#memory.find(table, bytes)!;
    for (let i = 0; i < buffers.length; i++) {
      const { address, length, writable } = buffers[i]!;
      const at = table - region.guestAddress + i * DESCRIPTOR_SIZE;
      const flags = writable ? DescriptorFlag.WRITE : 0;
      writeDescriptor(region, at, address, length, 0, flags);
    }
    const id = this.#ids[--this.#idCount]!;
    const first = this.#next;
    const flags = DescriptorFlag.INDIRECT | this.#availability();
    this.#advance();
    const at = this.#base + first * DESC_WORDS;
    this.#region.u32[at] = table;
    this.#region.u32[at + 1] = table / 0x1_0000_0000;
    this.#region.u32[at + LEN] = bytes;
    this.#show(first, id, flags);
    this.#slots[id] = 1;
    this.#free--;
    this.#added++;
    return id;
  }

  poll(): number {
    const at = this.#base + this.#lastUsed * DESC_WORDS;
    const idAndFlags = Atomics.load(this.#region.u32, at + ID_FLAGS);
    const flags = idAndFlags >>> FLAGS_SHIFT;
    const avail = (flags & F_AVAIL) !== 0;
    const used = (flags & F_USED) !== 0;
    if (avail !== used || used !== this.#usedWrap) return -1;
    const id = idAndFlags & 0xffff;
    this.usedLength = this.#region.u32[at + LEN]!;
    const slots = this.#slots[id] ?? 0;
    if (slots === 0) throw new Error(`the device used id ${id}: not its own`);
    this.#slots[id] = 0;
    this.#ids[this.#idCount++] = id;
    this.#free += slots;
    this.#lastUsed += slots;
    if (this.#lastUsed >= this.size) {
      this.#lastUsed -= this.size;
      this.#usedWrap = !this.#usedWrap;
    }
    return id;
  }

  armInterrupt(): void {
    this.driverEvent = this.#eventIdx
      ? this.#lastUsed | (this.#usedWrap ? WRAP : 0) |
        (EventFlags.DESC << FLAGS_SHIFT)
      : EventFlags.ENABLE << FLAGS_SHIFT;
  }

  doorbellWanted(): boolean {
    const added = this.#added;
    this.#added = 0;
    const event = this.deviceEvent;
    const flags = (event >>> FLAGS_SHIFT) & 3;
    if (flags !== EventFlags.DESC) return flags === EventFlags.ENABLE;
    let offset = event & 0x7fff;
    if (((event & WRAP) !== 0) !== this.#wrap) offset -= this.size;
    return needEvent(offset, this.#next, this.#next - added);
  }

  #flagsOf(buffers: readonly DriverBuffer[], index: number): number {
    return this.#availability() |
      (buffers[index]!.writable ? DescriptorFlag.WRITE : 0) |
      (index + 1 < buffers.length ? DescriptorFlag.NEXT : 0);
  }

  /** §2.8.1: AVAIL is the wrap counter, USED its inverse. */
  #availability(): number {
    return this.#wrap ? F_AVAIL : F_USED;
  }

  #advance(): void {
    this.#next++;
    if (this.#next < this.size) return;
    this.#next = 0;
    this.#wrap = !this.#wrap;
  }

  #show(slot: number, id: number, flags: number): void {
    const at = this.#base + slot * DESC_WORDS + ID_FLAGS;
    Atomics.store(this.#region.u32, at, (id | (flags << FLAGS_SHIFT)) >>> 0);
  }
}
