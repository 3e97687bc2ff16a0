/**
 * The split virtqueue (virtio 1.2 §2.7), the device's side.
 *
 * Every index, address and length that the driver wrote is read once and
 * checked. What breaks the queue is kept in {@linkcode VirtQueue.broken}; the
 * device then sets `DEVICE_NEEDS_RESET`.
 *
 * @module
 */
import type { GuestMemory, MemoryRegion } from "../../guest/memory.ts";
import type { DescriptorChain } from "./chain.ts";

const DESC_WORDS = 4; // struct virtq_desc (§2.7.5): addr, len, flags, next
const DESC_SIZE = 16;
const DESC_F_NEXT = 1;
const DESC_F_WRITE = 2;
const DESC_F_INDIRECT = 4;
const AVAIL_F_NO_INTERRUPT = 1;
const USED_F_NO_NOTIFY = 1;
const RING_HEADER = 4; // both rings: u16 flags, u16 idx
const TWO_32 = 0x1_0000_0000;

/** A queue's rings and positions as plain data. */
export interface QueueState {
  /** Number of descriptors, a power of two. */
  size: number;
  /** Guest address of the descriptor table. */
  desc: number;
  /** Guest address of the available ring (driver area). */
  avail: number;
  /** Guest address of the used ring (device area). */
  used: number;
  /** `VIRTIO_F_EVENT_IDX` was negotiated. */
  eventIdx: boolean;
  /** `VIRTIO_F_INDIRECT_DESC` was negotiated. */
  indirect: boolean;
  /** Next available entry to take, 16 bits. */
  nextAvail: number;
  /** Next used entry to write, 16 bits. */
  nextUsed: number;
}

/** The device's side of one split virtqueue. */
export class VirtQueue {
  /** The queue's number in its device. */
  readonly index: number;
  /** The most descriptors that the device offers. */
  readonly maxSize: number;
  /** Number of descriptors; 0 when the queue is not live. */
  size = 0;
  /**
   * While the device's thread polls, asking for the doorbell is put off until
   * {@linkcode arm}: a doorbell that nobody waits for costs the guest an exit.
   */
  polled = false;
  /** Why the queue can't go on, or undefined. */
  broken: string | undefined;
  readonly #memory: GuestMemory;
  #desc!: MemoryRegion;
  #descBase = 0; // in 32-bit words
  #avail!: MemoryRegion;
  #availBase = 0; // in 16-bit words
  #used!: MemoryRegion;
  #usedBase = 0; // in 16-bit words
  #usedRing = 0; // its first entry, in 32-bit words
  #state!: QueueState;
  #eventIdx = false;
  #indirect = false;
  #availIdx = 0; // the driver's index, as last seen
  #nextAvail = 0;
  #nextUsed = 0;
  #wanted = false; // enableNotification was asked for and put off
  #signalledUsed = 0; // nextUsed at the last decision about an interrupt

  /** Queue `index` of a device of the guest that has `memory`. */
  constructor(index: number, maxSize: number, memory: GuestMemory) {
    this.index = index;
    this.maxSize = maxSize;
    this.#memory = memory;
  }

  /** True between {@linkcode activate} and {@linkcode deactivate}. */
  get live(): boolean {
    return this.size > 0 && this.broken === undefined;
  }

  /**
   * Checks the driver's addresses and takes the queue into use. On a bad
   * layout (§2.7: alignment, size, RAM) it sets {@linkcode broken}.
   */
  activate(state: QueueState): void {
    this.size = 0;
    this.broken = undefined;
    const { size } = state;
    if (size < 1 || size > this.maxSize || (size & (size - 1)) !== 0) {
      this.broken = `queue size ${size} is not a power of two up to ` +
        this.maxSize;
      return;
    }
    const desc = this.#area(state.desc, size * DESC_SIZE, 16);
    const avail = this.#area(state.avail, RING_HEADER + 2 * size + 2, 2);
    const used = this.#area(state.used, RING_HEADER + 8 * size + 2, 4);
    if (!desc || !avail || !used) {
      this.broken = "a ring is not aligned or not in RAM";
      return;
    }
    this.#desc = desc;
    this.#descBase = (state.desc - desc.guestAddress) / 4;
    this.#avail = avail;
    this.#availBase = (state.avail - avail.guestAddress) / 2;
    this.#used = used;
    this.#usedBase = (state.used - used.guestAddress) / 2;
    this.#usedRing = (state.used - used.guestAddress + RING_HEADER) / 4;
    this.#state = state;
    this.#eventIdx = state.eventIdx;
    this.#indirect = state.indirect;
    this.#nextAvail = state.nextAvail;
    this.#availIdx = state.nextAvail;
    this.#nextUsed = state.nextUsed;
    this.#signalledUsed = state.nextUsed;
    this.size = size;
  }

  /** The queue as plain data, for a snapshot. */
  save(): QueueState {
    return {
      ...this.#state,
      nextAvail: this.#nextAvail,
      nextUsed: this.#nextUsed,
    };
  }

  /** Takes the queue out of use. */
  deactivate(): void {
    this.size = 0;
    this.#wanted = false;
    this.broken = undefined;
  }

  /** True when the driver has made a chain available. */
  get hasAvailable(): boolean {
    if (this.#availIdx !== this.#nextAvail) return true;
    if (!this.live) return false;
    this.#availIdx = Atomics.load(this.#avail.u16, this.#availBase + 1);
    return this.#availIdx !== this.#nextAvail;
  }

  /**
   * Takes the next available chain. False when there is none, or when the
   * queue broke.
   */
  pop(chain: DescriptorChain): boolean {
    if (!this.live || !this.hasAvailable) return false;
    const pending = (this.#availIdx - this.#nextAvail) & 0xffff;
    if (pending > this.size) {
      this.broken = `avail.idx is ${pending} ahead in a queue of ${this.size}`;
      return false;
    }
    const slot = this.#nextAvail & (this.size - 1);
    const head = this.#avail.u16[this.#availBase + 2 + slot]!;
    chain.clear();
    chain.head = head;
    if (!this.#walk(head, chain)) return false;
    this.#nextAvail = (this.#nextAvail + 1) & 0xffff;
    return true;
  }

  /**
   * Gives a chain back to the driver with `written` bytes in its writable
   * part. The driver sees it after {@linkcode publish}.
   */
  push(head: number, written: number): void {
    if (this.size === 0) return;
    const slot = this.#nextUsed & (this.size - 1);
    const at = this.#usedRing + 2 * slot;
    this.#used.u32[at] = head;
    this.#used.u32[at + 1] = written;
    this.#nextUsed = (this.#nextUsed + 1) & 0xffff;
  }

  /**
   * Shows the pushed chains to the driver; true when it wants an interrupt
   * (§2.7.7, §2.7.8).
   */
  publish(): boolean {
    const before = this.#signalledUsed;
    const now = this.#nextUsed;
    if (before === now || this.size === 0) return false;
    // Sequentially consistent: the store of used.idx is visible before
    // used_event or flags is read, so no interrupt is lost.
    Atomics.store(this.#used.u16, this.#usedBase + 1, now);
    this.#signalledUsed = now;
    if (!this.#eventIdx) {
      const flags = Atomics.load(this.#avail.u16, this.#availBase);
      return (flags & AVAIL_F_NO_INTERRUPT) === 0;
    }
    const usedEvent = Atomics.load(
      this.#avail.u16,
      this.#availBase + 2 + this.size,
    );
    return needEvent(usedEvent, now, before);
  }

  /** Asks the driver not to ring the doorbell (§2.7.10): a hint. */
  disableNotification(): void {
    this.#wanted = false;
    if (this.size === 0 || this.#eventIdx) return;
    this.#used.u16[this.#usedBase] = USED_F_NO_NOTIFY;
  }

  /**
   * Asks the driver to ring the doorbell for the next chain. True when a
   * chain came in meanwhile: the caller must look again.
   */
  enableNotification(): boolean {
    if (!this.live) return false;
    if (this.polled) {
      this.#wanted = true; // who polls looks again anyway
      return this.#availIdx !== this.#nextAvail;
    }
    if (this.#eventIdx) {
      const availEvent = this.#usedBase + 2 + 4 * this.size;
      Atomics.store(this.#used.u16, availEvent, this.#nextAvail);
    } else {
      Atomics.store(this.#used.u16, this.#usedBase, 0);
    }
    return this.hasAvailable;
  }

  /** Polling: a chain is there, and the device has asked for it. */
  get ready(): boolean {
    return this.#wanted && this.live && this.hasAvailable;
  }

  /** Ends a round of polling: asks the driver for the doorbell after all. */
  arm(): boolean {
    if (!this.#wanted) return false;
    this.polled = false;
    const available = this.enableNotification();
    this.polled = true;
    this.#wanted = available;
    return available;
  }

  #area(
    address: number,
    length: number,
    alignment: number,
  ): MemoryRegion | undefined {
    if (address % alignment !== 0) return undefined;
    return this.#memory.find(address, length);
  }

  /** §2.7.5: follows the chain; false, and broken, when it is malformed. */
  #walk(head: number, chain: DescriptorChain): boolean {
    let table = this.#desc.u32;
    let base = this.#descBase;
    let entries = this.size;
    let index = head;
    let inIndirect = false;
    let left = this.size; // §2.7.5.2: a chain is at most queue size long
    for (;;) {
      if (index >= entries) return this.#break("descriptor index too large");
      const at = base + index * DESC_WORDS;
      const address = table[at]! + table[at + 1]! * TWO_32;
      const length = table[at + 2]!;
      const flagsAndNext = table[at + 3]!;
      if (flagsAndNext & DESC_F_INDIRECT) {
        if (inIndirect || !this.#indirect || flagsAndNext & DESC_F_NEXT) {
          return this.#break("indirect descriptor where none may be");
        }
        const region = this.#indirectTable(address, length);
        if (region === undefined) {
          return this.#break("bad indirect descriptor table");
        }
        table = region.u32;
        base = (address - region.guestAddress) / 4;
        entries = length / DESC_SIZE;
        index = 0;
        inIndirect = true;
        continue;
      }
      if (left-- === 0) return this.#break("descriptor chain too long");
      if (!this.#append(chain, address, length, flagsAndNext)) return false;
      if (!(flagsAndNext & DESC_F_NEXT)) return true;
      index = flagsAndNext >>> 16;
    }
  }

  /** §2.7.5.3. Vireo wants the table aligned to 4, as drivers have it. */
  #indirectTable(address: number, length: number): MemoryRegion | undefined {
    if (length % DESC_SIZE !== 0 || address % 4 !== 0) return undefined;
    return this.#memory.find(address, length);
  }

  #append(
    chain: DescriptorChain,
    address: number,
    length: number,
    flags: number,
  ): boolean {
    const host = this.#memory.hostAddress(address, length);
    if (host === 0) return this.#break("descriptor is empty or not in RAM");
    if (flags & DESC_F_WRITE) {
      chain.writable.add(address, host, length);
    } else if (chain.writable.count > 0) {
      return this.#break("readable descriptor after a writable one");
    } else {
      chain.readable.add(address, host, length);
    }
    return true;
  }

  #break(reason: string): false {
    this.broken = reason;
    return false;
  }
}

/** §2.7.7.2: does moving from `before` to `now` pass `event`? 16 bits. */
export function needEvent(event: number, now: number, before: number): boolean {
  return ((now - event - 1) & 0xffff) < ((now - before) & 0xffff);
}
