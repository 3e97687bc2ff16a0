/**
 * The packed virtqueue (virtio 1.2 §2.8), the device's side: one ring of
 * descriptors that both sides write.
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

// struct pvirtq_desc (§2.8.13): le64 addr, le32 len, le16 id, le16 flags.
const DESC_WORDS = 4;
const LEN = 2;
const ID_FLAGS = 3;
const FLAGS_SHIFT = 16;
const DESC_F_AVAIL = 1 << 7;
const DESC_F_USED = 1 << 15;

// struct pvirtq_event_suppress (§2.8.14) as one word: offset and wrap counter
// in the low half, flags in the high half.
const EVENT_SIZE = 4;
const RING_EVENT_FLAGS_ENABLE = 0;
const RING_EVENT_FLAGS_DISABLE = 1;
const RING_EVENT_FLAGS_DESC = 2;
const RING_EVENT_FLAGS = 3;

/** The wrap counter's bit in {@linkcode QueueState}'s positions. */
const WRAP = 0x8000;
const TWO_32 = 0x1_0000_0000;

/** The device's side of one packed virtqueue. */
export class PackedQueue extends VirtQueue {
  #ring!: MemoryRegion;
  #base = 0; // in 32-bit words
  #driver!: MemoryRegion; // driver event suppression: whether to interrupt
  #driverWord = 0;
  #device!: MemoryRegion; // device event suppression: whether to notify
  #deviceWord = 0;
  #state!: QueueState;
  #eventIdx = false;
  #indirect = false;
  #nextAvail = 0;
  #availWrap = true;
  #nextUsed = 0;
  #usedWrap = true;
  // What is pushed and not published: the first one's flags are held back,
  // and with them all that follow.
  #unpublished = 0; // descriptors
  #firstWord = 0;
  #firstValue = 0;
  /** Ring slots that buffer `id` took: so many come back with it. */
  readonly #slots = new Uint16Array(this.maxSize);

  /** §2.8. */
  override activate(state: QueueState): void {
    this.size = 0;
    this.broken = undefined;
    const { size } = state;
    // §2.8.10.1: any size, not only powers of two.
    if (size < 1 || size > this.maxSize) {
      this.broken = `queue size ${size} is not 1 to ${this.maxSize}`;
      return;
    }
    const ring = this.area(state.desc, size * DESC_SIZE, 16);
    const driver = this.area(state.avail, EVENT_SIZE, 4);
    const device = this.area(state.used, EVENT_SIZE, 4);
    if (!ring || !driver || !device) {
      this.broken = "a ring is not aligned or not in RAM";
      return;
    }
    this.#ring = ring;
    this.#base = (state.desc - ring.guestAddress) / 4;
    this.#driver = driver;
    this.#driverWord = (state.avail - driver.guestAddress) / 4;
    this.#device = device;
    this.#deviceWord = (state.used - device.guestAddress) / 4;
    this.#state = state;
    this.#eventIdx = state.eventIdx;
    this.#indirect = state.indirect;
    this.#nextAvail = (state.nextAvail & ~WRAP) % size;
    this.#availWrap = (state.nextAvail & WRAP) !== 0;
    this.#nextUsed = (state.nextUsed & ~WRAP) % size;
    this.#usedWrap = (state.nextUsed & WRAP) !== 0;
    this.#unpublished = 0;
    this.size = size;
  }

  override save(): QueueState {
    return {
      ...this.#state,
      nextAvail: this.#nextAvail | (this.#availWrap ? WRAP : 0),
      nextUsed: this.#nextUsed | (this.#usedWrap ? WRAP : 0),
    };
  }

  /** §2.8.1. */
  override get hasAvailable(): boolean {
    return this.live && this.#isAvailable(this.#nextIdAndFlags());
  }

  override pop(chain: DescriptorChain): boolean {
    if (!this.live) return false;
    // Read once: what says that the chain is there is also what is done.
    let idAndFlags = this.#nextIdAndFlags();
    if (!this.#isAvailable(idAndFlags)) return false;
    chain.clear();
    const ring = this.#ring.u32;
    let slot = this.#nextAvail;
    let slots = 0;
    const longest = this.longest(chain);
    for (;;) {
      if (slots++ === longest) return this.break("descriptor chain too long");
      const at = this.#base + slot * DESC_WORDS;
      const address = ring[at]! + ring[at + 1]! * TWO_32;
      const length = ring[at + LEN]!;
      if (slots > 1) idAndFlags = ring[at + ID_FLAGS]!;
      const flags = idAndFlags >>> FLAGS_SHIFT;
      slot = slot + 1 === this.size ? 0 : slot + 1;
      if (flags & DescFlag.INDIRECT) {
        if (!this.#walkIndirect(chain, address, length, flags, slots)) {
          return false;
        }
      } else if (!this.append(chain, address, length, flags)) return false;
      if (flags & DescFlag.NEXT) continue;
      // §2.8.6: the last descriptor's id is the buffer's.
      return this.#take(chain, idAndFlags & 0xffff, slots, slot);
    }
  }

  /** §2.8.6: a chain's used descriptor is where its first one was. */
  override rewind(): void {
    this.#nextAvail = this.#nextUsed;
    this.#availWrap = this.#usedWrap;
  }

  override push(head: number, written: number): void {
    if (this.size === 0) return;
    const ring = this.#ring.u32;
    const at = this.#base + this.#nextUsed * DESC_WORDS;
    const wrap = this.#usedWrap ? DESC_F_AVAIL | DESC_F_USED : 0;
    const flags = wrap | (written > 0 ? DescFlag.WRITE : 0);
    const value = (head | (flags << FLAGS_SHIFT)) >>> 0;
    ring[at + LEN] = written;
    this.pushed++;
    if (this.#unpublished === 0) {
      this.#firstWord = at + ID_FLAGS;
      this.#firstValue = value;
    } else {
      // The driver gets here only past the first, which publish shows last.
      ring[at + ID_FLAGS] = value;
    }
    const slots = this.#slots[head]!;
    this.#unpublished += slots;
    this.#nextUsed += slots;
    if (this.#nextUsed < this.size) return;
    this.#nextUsed -= this.size;
    this.#usedWrap = !this.#usedWrap;
  }

  /** §2.8.21.3. */
  override publish(): boolean {
    const count = this.#unpublished;
    if (count === 0 || this.size === 0) return false;
    this.#unpublished = 0;
    // Sequentially consistent: visible before the driver's wish is read, so
    // no interrupt is lost.
    Atomics.store(this.#ring.u32, this.#firstWord, this.#firstValue);
    const event = Atomics.load(this.#driver.u32, this.#driverWord);
    const flags = (event >>> FLAGS_SHIFT) & RING_EVENT_FLAGS;
    if (flags === RING_EVENT_FLAGS_ENABLE) return true;
    if (flags !== RING_EVENT_FLAGS_DESC || !this.#eventIdx) return false;
    let offset = event & 0x7fff;
    if (((event & WRAP) !== 0) !== this.#usedWrap) offset -= this.size;
    return needEvent(offset, this.#nextUsed, this.#nextUsed - count);
  }

  /** §2.8.10: the device event suppression structure. */
  protected override suppressDoorbell(): void {
    this.#device.u32[this.#deviceWord] = RING_EVENT_FLAGS_DISABLE <<
      FLAGS_SHIFT;
  }

  /** §2.8.10. */
  protected override requestDoorbell(): void {
    const event = this.#eventIdx
      ? this.#nextAvail | (this.#availWrap ? WRAP : 0) |
        (RING_EVENT_FLAGS_DESC << FLAGS_SHIFT)
      : RING_EVENT_FLAGS_ENABLE << FLAGS_SHIFT;
    // Sequentially consistent: visible before the ring is read once more.
    Atomics.store(this.#device.u32, this.#deviceWord, event);
  }

  /** Buffer id and flags of the next descriptor. */
  #nextIdAndFlags(): number {
    const at = this.#base + this.#nextAvail * DESC_WORDS + ID_FLAGS;
    return Atomics.load(this.#ring.u32, at);
  }

  /** §2.8.1: AVAIL as the wrap counter, USED not. */
  #isAvailable(idAndFlags: number): boolean {
    const flags = idAndFlags >>> FLAGS_SHIFT;
    const available = (flags & DESC_F_AVAIL) !== 0;
    const used = (flags & DESC_F_USED) !== 0;
    return available === this.#availWrap && used !== this.#availWrap;
  }

  /** §2.8.7: the table's descriptors, all of them, in order. */
  #walkIndirect(
    chain: DescriptorChain,
    address: number,
    length: number,
    flags: number,
    slots: number,
  ): boolean {
    if (!this.#indirect || flags & DescFlag.NEXT || slots > 1) {
      return this.break("indirect descriptor where none may be");
    }
    const region = this.indirectTable(address, length);
    if (region === undefined) {
      return this.break("bad indirect descriptor table");
    }
    const entries = length / DESC_SIZE;
    if (entries > this.longest(chain)) {
      return this.break("descriptor chain too long");
    }
    const table = region.u32;
    let at = (address - region.guestAddress) / 4;
    for (let i = 0; i < entries; i++, at += DESC_WORDS) {
      const buffer = table[at]! + table[at + 1]! * TWO_32;
      const bufferFlags = table[at + ID_FLAGS]! >>> FLAGS_SHIFT;
      if (bufferFlags & DescFlag.INDIRECT) {
        return this.break("indirect descriptor where none may be");
      }
      if (!this.append(chain, buffer, table[at + LEN]!, bufferFlags)) {
        return false;
      }
    }
    return true;
  }

  #take(
    chain: DescriptorChain,
    id: number,
    slots: number,
    next: number,
  ): boolean {
    // The driver chooses any id; the descriptors of one queue need no more.
    if (id >= this.size) return this.break("buffer id too large");
    chain.head = id;
    this.#slots[id] = slots;
    if (next <= this.#nextAvail) this.#availWrap = !this.#availWrap;
    this.#nextAvail = next;
    return true;
  }
}
