/**
 * The pages that a balloon's driver names (virtio 1.2 §5.5.6), given back to
 * the host: pages in a row by one system call.
 *
 * @module
 */
import { type GuestMemory, PAGE_SIZE } from "../../../guest/memory.ts";
import type { ChainPart } from "../queue/chain.ts";

/**
 * Bytes of page numbers in one buffer: Linux sends 1 KiB. The specification
 * has no limit, but one buffer must not keep the other devices waiting.
 */
const ARRAY_MAX = 64 * 1024;

/** Gives pages back to the host. It allocates nothing after its start. */
export class PageDiscarder {
  /** Pages that were given back, so far. */
  pages = 0;
  /** System calls that it took. */
  calls = 0;
  readonly #memory: GuestMemory;
  readonly #numbers = new Uint32Array(ARRAY_MAX / 4);
  readonly #bytes = new Uint8Array(this.#numbers.buffer);
  // The run that was not given back yet.
  #first = 0;
  #count = 0;

  /** For the guest that has `memory`. */
  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  /**
   * Gives back the pages of an array of 32-bit page numbers, always in units
   * of 4096 bytes (§5.5.6). The reason when the array is malformed; pages
   * before the bad one are gone then.
   */
  discardArray(part: ChainPart): string | undefined {
    const { bytes } = part;
    if (bytes > ARRAY_MAX) return `an array of ${bytes} bytes`;
    if (bytes % 4 !== 0) return `an array of ${bytes} bytes, not of words`;
    part.peek(this.#memory, this.#bytes, bytes);
    const count = bytes / 4;
    for (let i = 0; i < count; i++) {
      const page = this.#numbers[i]!;
      if (this.#memory.find(page * PAGE_SIZE, PAGE_SIZE) === undefined) {
        this.#flush();
        return `page 0x${page.toString(16)} is not in RAM`;
      }
      this.#add(page);
    }
    this.#flush();
  }

  /** Gives back the whole pages within the ranges of `part`. */
  discardRanges(part: ChainPart): void {
    for (let i = 0; i < part.count; i++) {
      const address = part.guestAddressAt(i);
      const first = Math.ceil(address / PAGE_SIZE);
      const end = Math.floor((address + part.lengthAt(i)) / PAGE_SIZE);
      if (end > first) this.#discard(first, end - first);
    }
  }

  /** Drivers take pages from the top of a free block or from its bottom. */
  #add(page: number): void {
    if (this.#count > 0 && page === this.#first + this.#count) {
      this.#count++;
    } else if (this.#count > 0 && page === this.#first - 1) {
      this.#first = page;
      this.#count++;
    } else {
      this.#flush();
      this.#first = page;
      this.#count = 1;
    }
  }

  #flush(): void {
    if (this.#count > 0) this.#discard(this.#first, this.#count);
    this.#count = 0;
  }

  #discard(first: number, count: number): void {
    this.calls++;
    // What the host refuses to take stays the guest's.
    if (this.#memory.discard(first * PAGE_SIZE, count * PAGE_SIZE)) {
      this.pages += count;
    }
  }
}
