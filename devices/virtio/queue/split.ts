/**
 * The split virtqueue (virtio 1.2 §2.7), the device's side.
 *
 * @module
 */
import type { MemoryRegion } from "../../../guest/memory.ts";
import type { DescriptorChain } from "./chain.ts";
import {
  DESC_SIZE,
  DescFlag,
  needEvent,
  type QueueState,
  VirtQueue,
} from "./queue.ts";

const DESC_WORDS = 4; // struct virtq_desc (§2.7.5): addr, len, flags, next
const AVAIL_F_NO_INTERRUPT = 1;
const USED_F_NO_NOTIFY = 1;
const RING_HEADER = 4; // both rings: u16 flags, u16 idx
const TWO_32 = 0x1_0000_0000;

/** The device's side of one split virtqueue. */
export class SplitQueue extends VirtQueue {
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
  #signalledUsed = 0; // nextUsed at the last decision about an interrupt

  /** §2.7. */
  override activate(state: QueueState): void {
    this.size = 0;
    this.broken = undefined;
    const { size } = state;
    if (size < 1 || size > this.maxSize || (size & (size - 1)) !== 0) {
      this.broken = `queue size ${size} is not a power of two up to ` +
        this.maxSize;
      return;
    }
    const desc = this.area(state.desc, size * DESC_SIZE, 16);
    const avail = this.area(state.avail, RING_HEADER + 2 * size + 2, 2);
    const used = this.area(state.used, RING_HEADER + 8 * size + 2, 4);
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
    this.#nextAvail = this.#availIdx = state.nextAvail & 0xffff;
    this.#nextUsed = this.#signalledUsed = state.nextUsed & 0xffff;
    this.size = size;
  }

  override save(): QueueState {
    return {
      ...this.#state,
      nextAvail: this.#nextAvail,
      nextUsed: this.#nextUsed,
    };
  }

  override get hasAvailable(): boolean {
    if (this.#availIdx !== this.#nextAvail) return true;
    if (!this.live) return false;
    this.#availIdx = Atomics.load(this.#avail.u16, this.#availBase + 1);
    return this.#availIdx !== this.#nextAvail;
  }

  override pop(chain: DescriptorChain): boolean {
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

  /** One entry of the used ring stands for one of the available ring. */
  override rewind(): void {
    this.#nextAvail = this.#nextUsed;
  }

  override push(head: number, written: number): void {
    if (this.size === 0) return;
    const slot = this.#nextUsed & (this.size - 1);
    const at = this.#usedRing + 2 * slot;
    this.#used.u32[at] = head;
    this.#used.u32[at + 1] = written;
    this.#nextUsed = (this.#nextUsed + 1) & 0xffff;
    this.pushed++;
  }

  /** §2.7.7, §2.7.8. */
  override publish(): boolean {
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

  /** §2.7.10: with EVENT_IDX, an event that is past says so already. */
  protected override suppressDoorbell(): void {
    if (this.#eventIdx) return;
    this.#used.u16[this.#usedBase] = USED_F_NO_NOTIFY;
  }

  /** §2.7.10. */
  protected override requestDoorbell(): void {
    // Sequentially consistent: visible before avail.idx is read once more.
    if (this.#eventIdx) {
      const availEvent = this.#usedBase + 2 + 4 * this.size;
      Atomics.store(this.#used.u16, availEvent, this.#nextAvail);
    } else {
      Atomics.store(this.#used.u16, this.#usedBase, 0);
    }
  }

  /** §2.7.5: follows the chain; false, and broken, when it is malformed. */
  #walk(head: number, chain: DescriptorChain): boolean {
    let table = this.#desc.u32;
    let base = this.#descBase;
    let entries = this.size;
    let index = head;
    let inIndirect = false;
    let left = this.longest(chain);
    for (;;) {
      if (index >= entries) return this.break("descriptor index too large");
      const at = base + index * DESC_WORDS;
      const address = table[at]! + table[at + 1]! * TWO_32;
      const length = table[at + 2]!;
      const flagsAndNext = table[at + 3]!;
      if (flagsAndNext & DescFlag.INDIRECT) {
        if (inIndirect || !this.#indirect || flagsAndNext & DescFlag.NEXT) {
          return this.break("indirect descriptor where none may be");
        }
        const region = this.indirectTable(address, length);
        if (region === undefined) {
          return this.break("bad indirect descriptor table");
        }
        table = region.u32;
        base = (address - region.guestAddress) / 4;
        entries = length / DESC_SIZE;
        index = 0;
        inIndirect = true;
        continue;
      }
      if (left-- === 0) return this.break("descriptor chain too long");
      if (!this.append(chain, address, length, flagsAndNext)) return false;
      if (!(flagsAndNext & DescFlag.NEXT)) return true;
      index = flagsAndNext >>> 16;
    }
  }
}
