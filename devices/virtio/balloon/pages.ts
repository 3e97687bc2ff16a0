/**
 * The pages that a balloon's driver names (virtio 1.2 §5.5.6), given back to
 * the host: pages in a row by one system call, and as many in one turn as don't
 * keep other devices waiting.
 *
 * @module
 */
import { type GuestMemory, PAGE_SIZE } from "../../../guest/memory.ts";
import type { ChainPart } from "../queue/chain.ts";

/**
 * Bytes of page numbers in one buffer: Linux sends 1 KiB. The specification
 * has no limit, but there must be room for them.
 */
const ARRAY_MAX = 64 * 1024;

/**
 * What one turn may cost, in pages, and what each system call costs beside its
 * pages: 16 MiB in a row, or 240 pages that are not. A host takes less than a
 * millisecond for either.
 */
const TURN = 4096;
const CALL = 16;

/** Gives pages back to the host. It allocates nothing after its start. */
export class PageDiscarder {
  /** Pages that were given back, so far. */
  pages = 0;
  /** System calls that it took. */
  calls = 0;
  readonly #memory: GuestMemory;
  readonly #numbers = new Uint32Array(ARRAY_MAX / 4);
  readonly #bytes = new Uint8Array(this.#numbers.buffer);
  /** What is left of this turn. */
  #left = TURN;
  // What was taken on and is not given back yet: page numbers, or ranges.
  #next = 0;
  #end = 0;
  #ranges: ChainPart | undefined;
  #done = 0; // pages of the first of them
  // The run that is given back next.
  #first = 0;
  #count = 0;

  /** For the guest that has `memory`. */
  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  /** Another turn begins. */
  refill(): void {
    this.#left = TURN;
  }

  /**
   * Takes on the pages of an array of 32-bit page numbers, always in units of
   * 4096 bytes (§5.5.6). The reason when it is none.
   */
  takeArray(part: ChainPart): string | undefined {
    const { bytes } = part;
    if (bytes > ARRAY_MAX) return `an array of ${bytes} bytes`;
    if (bytes % 4 !== 0) return `an array of ${bytes} bytes, not of words`;
    part.peek(this.#memory, this.#bytes, bytes);
    this.#next = 0;
    this.#end = bytes / 4;
  }

  /** Takes on the whole pages within the ranges of `part`, which stays as is. */
  takeRanges(part: ChainPart): void {
    this.#ranges = part;
    this.#next = 0;
    this.#end = part.count;
    this.#done = 0;
  }

  /** Forgets what was taken on. */
  drop(): void {
    this.#ranges = undefined;
    this.#next = this.#end = 0;
  }

  /** Something that was taken on is not given back yet. */
  get busy(): boolean {
    return this.#next < this.#end;
  }

  /**
   * Gives back what was taken on, as far as this turn goes. The reason when a
   * page is not in RAM: those before it are gone then, and the rest is dropped.
   */
  work(): string | undefined {
    while (this.busy && this.#left > 0) {
      if (this.#ranges) this.#runOfRange(this.#ranges);
      else if (!this.#runOfArray()) {
        const page = this.#numbers[this.#next]!;
        this.drop();
        return `page 0x${page.toString(16)} is not in RAM`;
      }
      if (this.#count > 0) this.#discard();
    }
    if (!this.busy) this.drop();
  }

  /**
   * Pages in a row: drivers take them from the top of a free block or from its
   * bottom. False when the next one is not in RAM.
   */
  #runOfArray(): boolean {
    this.#count = 0;
    for (; this.busy && this.#count < this.#left; this.#next++) {
      const page = this.#numbers[this.#next]!;
      if (this.#memory.find(page * PAGE_SIZE, PAGE_SIZE) === undefined) {
        return this.#count > 0;
      }
      if (this.#count === 0 || page === this.#first - 1) this.#first = page;
      else if (page !== this.#first + this.#count) break;
      this.#count++;
    }
    return true;
  }

  /** The whole pages of a range, or as many as this turn takes. */
  #runOfRange(ranges: ChainPart): void {
    const address = ranges.guestAddressAt(this.#next);
    const end = Math.floor(
      (address + ranges.lengthAt(this.#next)) / PAGE_SIZE,
    );
    this.#first = Math.ceil(address / PAGE_SIZE) + this.#done;
    this.#count = Math.max(0, Math.min(end - this.#first, this.#left));
    this.#done += this.#count;
    if (this.#first + this.#count < end) return;
    this.#next++;
    this.#done = 0;
  }

  #discard(): void {
    this.calls++;
    this.#left -= CALL + this.#count;
    const bytes = this.#count * PAGE_SIZE;
    // What the host refuses to take stays the guest's.
    if (this.#memory.discard(this.#first * PAGE_SIZE, bytes)) {
      this.pages += this.#count;
    }
  }
}
