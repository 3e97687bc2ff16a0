/**
 * The driver's side of a split virtqueue (virtio 1.2 §2.7), for tests and
 * benchmarks: well-formed chains by {@linkcode DriverQueue.add}, and any bytes
 * at all by {@linkcode DriverQueue.describe} and {@linkcode DriverQueue.offer}.
 *
 * @module
 */
import type { GuestMemory, MemoryRegion } from "../../../guest/memory.ts";
import { needEvent, type QueueState, type VirtQueue } from "../queue/queue.ts";

/** Descriptor flags (§2.7.5). */
export const DescriptorFlag = { NEXT: 1, WRITE: 2, INDIRECT: 4 } as const;

/** `sizeof(struct virtq_desc)`. */
export const DESCRIPTOR_SIZE = 16;

const RING_HEADER = 4; // both rings: u16 flags, u16 idx
const TWO_32 = 0x1_0000_0000;

/** One buffer of a chain. */
export interface DriverBuffer {
  /** Guest address. */
  address: number;
  /** Length in bytes. */
  length: number;
  /** For the device to write; default false: for it to read. */
  writable?: boolean;
}

/** How a driver lays a queue out. */
export interface DriverQueueOptions {
  /** Number of descriptors. */
  size: number;
  /** Guest address of all three parts; {@linkcode queueBytes} are used. */
  address: number;
  /** The queue's number; default 0. */
  index?: number;
  /** EVENT_IDX was negotiated; default false. */
  eventIdx?: boolean;
  /** INDIRECT_DESC was negotiated; default true. */
  indirect?: boolean;
  /** The index that both sides start from; default 0. */
  firstIndex?: number;
}

/** What split and packed queues have in common to their driver. */
export interface DriverRing {
  /** The queue's number. */
  readonly index: number;
  /** Number of descriptors. */
  readonly size: number;
  /** Guest address of the descriptor table, or of the packed ring. */
  readonly desc: number;
  /** Guest address of the driver area. */
  readonly avail: number;
  /** Guest address of the device area. */
  readonly used: number;
  /** `written` of the last chain that `poll` returned. */
  readonly usedLength: number;
  /** Descriptors that no chain has. */
  readonly freeDescriptors: number;
  /** The queue as the device's side is told of it. */
  state(): QueueState;
  /** Makes a chain available and returns its head; -1 without room. */
  add(buffers: readonly DriverBuffer[]): number;
  /** The same through an indirect table at guest address `table`. */
  addIndirect(buffers: readonly DriverBuffer[], table: number): number;
  /** Takes the next used chain: its head, or -1. */
  poll(): number;
  /** Asks for an interrupt at the next used chain. */
  armInterrupt(): void;
  /** True when the device wants a doorbell for what is new since the last time. */
  doorbellWanted(): boolean;
}

/** Bytes that a queue of `size` descriptors takes, with all three parts. */
export function queueBytes(size: number): number {
  return usedOffset(size) + RING_HEADER + 8 * size + 2;
}

function availOffset(size: number): number {
  return size * DESCRIPTOR_SIZE;
}

function usedOffset(size: number): number {
  const end = availOffset(size) + RING_HEADER + 2 * size + 2;
  return (end + 3) & ~3;
}

/**
 * The device asks for the next chain of `queue` and its thread goes to sleep;
 * true when it must not, because a chain came in meanwhile.
 */
export function staysAwake(queue: VirtQueue): boolean {
  queue.enableNotification();
  return queue.enable();
}

/** A split queue as its driver sees it. Adding and polling allocate nothing. */
export class DriverQueue implements DriverRing {
  /** The queue's number. */
  readonly index: number;
  /** Number of descriptors. */
  readonly size: number;
  /** Guest address of the descriptor table. */
  readonly desc: number;
  /** Guest address of the available ring (driver area). */
  readonly avail: number;
  /** Guest address of the used ring (device area). */
  readonly used: number;
  /** `written` of the last chain that {@linkcode poll} returned. */
  usedLength = 0;
  /** The index of the next used entry, 16 bits. */
  lastUsed: number;
  readonly #memory: GuestMemory;
  readonly #eventIdx: boolean;
  readonly #indirect: boolean;
  readonly #firstIndex: number;
  readonly #region: MemoryRegion;
  readonly #base: number; // of #region, in bytes
  // The driver's own books: the device can't write them.
  readonly #next: Uint16Array;
  readonly #length: Uint16Array;
  #free = 0;
  #freeCount: number;
  #rungAt: number;

  /** Zeroes the rings in `memory`, with all descriptors free. */
  constructor(memory: GuestMemory, options: DriverQueueOptions) {
    const { size, address } = options;
    this.index = options.index ?? 0;
    this.size = size;
    this.desc = address;
    this.avail = address + availOffset(size);
    this.used = address + usedOffset(size);
    this.#memory = memory;
    this.#eventIdx = options.eventIdx ?? false;
    this.#indirect = options.indirect ?? true;
    this.#firstIndex = options.firstIndex ?? 0;
    this.lastUsed = this.#firstIndex;
    this.#rungAt = this.#firstIndex;
    const bytes = memory.bytes(address, queueBytes(size)); // or throws
    bytes.fill(0);
    this.#region = memory.find(address, queueBytes(size))!;
    this.#base = address - this.#region.guestAddress;
    this.#next = Uint16Array.from({ length: size }, (_, i) => i + 1);
    this.#length = new Uint16Array(size);
    this.#freeCount = size;
    this.availIdx = this.#firstIndex;
    this.#setU16(this.used + 2, this.#firstIndex);
  }

  /** The queue as the device's side is told of it. */
  state(): QueueState {
    return {
      size: this.size,
      desc: this.desc,
      avail: this.avail,
      used: this.used,
      eventIdx: this.#eventIdx,
      indirect: this.#indirect,
      nextAvail: this.#firstIndex,
      nextUsed: this.#firstIndex,
    };
  }

  /** Descriptors that no chain has. */
  get freeDescriptors(): number {
    return this.#freeCount;
  }

  /** The avail ring's idx. */
  get availIdx(): number {
    return this.#u16(this.avail + 2);
  }

  /** Sets idx, and so shows chains to the device. Any 16-bit value. */
  set availIdx(value: number) {
    const at = this.#base + (this.avail - this.desc) + 2;
    Atomics.store(this.#region.u16, at / 2, value);
  }

  /** The avail ring's flags: 1 asks for no interrupts. */
  set availFlags(value: number) {
    this.#setU16(this.avail, value);
  }

  /** EVENT_IDX: the device interrupts when it passes this used index. */
  set usedEvent(value: number) {
    this.#setU16(this.avail + RING_HEADER + 2 * this.size, value);
  }

  /** The used ring's idx. */
  get usedIdx(): number {
    const at = this.#base + (this.used - this.desc) + 2;
    return Atomics.load(this.#region.u16, at / 2);
  }

  /** The used ring's flags: 1 asks for no doorbells. */
  get usedFlags(): number {
    return this.#u16(this.used);
  }

  /** EVENT_IDX: the device wants a doorbell when this index is passed. */
  get availEvent(): number {
    return this.#u16(this.used + RING_HEADER + 8 * this.size);
  }

  /** Writes descriptor `index` as it is given, whether valid or not. */
  describe(
    index: number,
    address: number,
    length: number,
    flags = 0,
    next = 0,
  ): void {
    const at = this.#base + index * DESCRIPTOR_SIZE;
    writeDescriptor(this.#region, at, address, length, flags, next);
  }

  /** Puts `head` into the available ring, valid or not, and shows it. */
  offer(head: number): void {
    const idx = this.availIdx;
    const slot = idx & (this.size - 1);
    this.#setU16(this.avail + RING_HEADER + 2 * slot, head);
    this.availIdx = (idx + 1) & 0xffff;
  }

  /** Makes a chain available and returns its head; -1 without room. */
  add(buffers: readonly DriverBuffer[]): number {
    if (buffers.length > this.#freeCount) return -1;
    const head = this.#free;
    let index = head;
    for (let i = 0; i < buffers.length; i++) {
      index = this.#free;
      this.#free = this.#next[index]!;
      const { address, length, writable } = buffers[i]!;
      const flags = (writable ? DescriptorFlag.WRITE : 0) |
        (i + 1 < buffers.length ? DescriptorFlag.NEXT : 0);
      this.describe(index, address, length, flags, this.#next[index]!);
    }
    this.#freeCount -= buffers.length;
    this.#length[head] = buffers.length;
    this.offer(head);
    return head;
  }

  /** The same through an indirect table at guest address `table`. */
  addIndirect(buffers: readonly DriverBuffer[], table: number): number {
    if (this.#freeCount === 0) return -1;
    const region = this.#memory.find(table, buffers.length * DESCRIPTOR_SIZE)!;
    for (let i = 0; i < buffers.length; i++) {
      const { address, length, writable } = buffers[i]!;
      const more = i + 1 < buffers.length;
      const flags = (writable ? DescriptorFlag.WRITE : 0) |
        (more ? DescriptorFlag.NEXT : 0);
      const at = table - region.guestAddress + i * DESCRIPTOR_SIZE;
      const next = more ? i + 1 : 0;
      writeDescriptor(region, at, address, length, flags, next);
    }
    const head = this.#free;
    this.#free = this.#next[head]!;
    this.#freeCount--;
    this.#length[head] = 1;
    const bytes = buffers.length * DESCRIPTOR_SIZE;
    this.describe(head, table, bytes, DescriptorFlag.INDIRECT);
    this.offer(head);
    return head;
  }

  /**
   * Takes the next used entry: its head, or -1. Sets {@linkcode usedLength}
   * and frees the chain's descriptors.
   */
  poll(): number {
    if (this.usedIdx === this.lastUsed) return -1;
    const slot = this.lastUsed & (this.size - 1);
    const at = (this.#base + (this.used - this.desc) + RING_HEADER) / 4;
    const head = this.#region.u32[at + 2 * slot]!;
    this.usedLength = this.#region.u32[at + 2 * slot + 1]!;
    this.lastUsed = (this.lastUsed + 1) & 0xffff;
    this.#release(head);
    return head;
  }

  /** Asks for an interrupt at the next used chain (§2.7.7). */
  armInterrupt(): void {
    if (this.#eventIdx) this.usedEvent = this.lastUsed;
    else this.availFlags = 0;
  }

  /**
   * True when the device wants a doorbell for what was made available since
   * this was last asked (§2.7.10).
   */
  doorbellWanted(): boolean {
    const before = this.#rungAt;
    const now = this.availIdx;
    this.#rungAt = now;
    if (!this.#eventIdx) return (this.usedFlags & 1) === 0;
    return needEvent(this.availEvent, now, before);
  }

  #release(head: number): void {
    const length = head < this.size ? this.#length[head]! : 0;
    if (length === 0) return; // offered by hand
    this.#length[head] = 0;
    let last = head;
    for (let i = 1; i < length; i++) last = this.#next[last]!;
    this.#next[last] = this.#free;
    this.#free = head;
    this.#freeCount += length;
  }

  #u16(address: number): number {
    return this.#region.u16[(this.#base + address - this.desc) / 2]!;
  }

  #setU16(address: number, value: number): void {
    this.#region.u16[(this.#base + address - this.desc) / 2] = value;
  }
}

/** Writes one `struct virtq_desc` at byte `at` of a region. */
export function writeDescriptor(
  region: MemoryRegion,
  at: number,
  address: number,
  length: number,
  flags: number,
  next: number,
): void {
  const word = at / 4;
  region.u32[word] = address;
  region.u32[word + 1] = address / TWO_32;
  region.u32[word + 2] = length;
  region.u32[word + 3] = flags | (next << 16);
}
