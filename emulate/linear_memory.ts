/**
 * Guest memory as the guest's own instructions see it: by linear address,
 * through its page tables, with their access rights (Intel SDM vol. 3, §4.5 to
 * §4.8). For data accesses at CPL 0 to 3 in long mode.
 *
 * @module
 */
import type { SpecialRegisters } from "../ffi/kvm/registers.ts";
import type { GuestMemory } from "../guest/memory.ts";
import { generalProtection, GuestFault, PageFaultCode } from "./fault.ts";
import { Vector } from "./fault.ts";

const CR0_WP = 1n << 16n;
const CR4_LA57 = 1n << 12n;
const CR4_SMAP = 1n << 21n;
const RFLAGS_AC = 1n << 18n;

/** Page table entry bits, in its low word. */
const Pte = {
  PRESENT: 1,
  WRITABLE: 2,
  USER: 4,
  ACCESSED: 0x20,
  DIRTY: 0x40,
  LARGE: 0x80,
} as const;

const PAGE = 4096;
const PAGE_SHIFT = 12;
const INDEX_BITS = 9;
const ADDRESS_LOW = 0xffff_f000;
const ADDRESS_HIGH = 0x000f_ffff;
const HIGH_WORD = 0x1_0000_0000;

/** What translation depends on. */
export interface Paging {
  /** CR0, CR3, CR4. */
  readonly sregs: SpecialRegisters;
  /** Current privilege level. */
  readonly cpl: number;
  /** RFLAGS: AC lifts SMAP. */
  readonly rflags: bigint;
}

/** The guest's memory by linear address. */
export class LinearMemory {
  readonly #memory: GuestMemory;
  readonly #root: number;
  readonly #levels: number;
  readonly #user: boolean;
  readonly #writeProtect: boolean;
  readonly #smap: boolean;

  /** The address space that a vCPU is in. */
  constructor(memory: GuestMemory, { sregs, cpl, rflags }: Paging) {
    this.#memory = memory;
    const cr3 = sregs.control("cr3");
    this.#root = Number(cr3 & 0x000f_ffff_ffff_f000n);
    const cr4 = sregs.control("cr4");
    this.#levels = cr4 & CR4_LA57 ? 5 : 4;
    this.#user = cpl === 3;
    this.#writeProtect = this.#user || (sregs.control("cr0") & CR0_WP) !== 0n;
    this.#smap = !this.#user && (cr4 & CR4_SMAP) !== 0n &&
      (rflags & RFLAGS_AC) === 0n;
  }

  /**
   * Copies bytes out of the guest.
   *
   * @throws {GuestFault} when the guest may not read them
   * @throws {GuestAddressError} when they are no RAM
   */
  read(linear: bigint, length: number): Uint8Array<ArrayBuffer> {
    const result = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const piece = this.#piece(linear, done, length);
      const from = this.translate(linear + BigInt(done), false);
      result.set(this.#memory.bytes(from, piece), done);
      done += piece;
    }
    return result;
  }

  /**
   * Copies bytes into the guest: all, or none when it faults.
   *
   * @throws {GuestFault} when the guest may not write them
   * @throws {GuestAddressError} when they are no RAM
   */
  write(linear: bigint, bytes: Uint8Array): void {
    const targets: Uint8Array[] = [];
    for (let done = 0; done < bytes.length;) {
      const piece = this.#piece(linear, done, bytes.length);
      const to = this.translate(linear + BigInt(done), true);
      targets.push(this.#memory.bytes(to, piece));
      done += piece;
    }
    let done = 0;
    for (const target of targets) {
      target.set(bytes.subarray(done, done + target.length));
      done += target.length;
    }
  }

  /** Bytes until the end of the page or of the range. */
  #piece(linear: bigint, done: number, length: number): number {
    const offset = Number(linear + BigInt(done) & BigInt(PAGE - 1));
    return Math.min(PAGE - offset, length - done);
  }

  /**
   * The guest physical address of a byte. Sets accessed and dirty bits, as the
   * CPU would.
   *
   * @throws {GuestFault} #PF, or #GP when the address isn't canonical
   * @throws {GuestAddressError} when a page table is not in RAM
   */
  translate(linear: bigint, write: boolean): number {
    const bits = PAGE_SHIFT + INDEX_BITS * this.#levels;
    if (BigInt.asIntN(bits, linear) !== BigInt.asIntN(64, linear)) {
      throw generalProtection();
    }
    let table = this.#root;
    let rights = Pte.WRITABLE | Pte.USER;
    const used: Uint32Array[] = [];
    for (let level = this.#levels; level > 0; level--) {
      const shift = PAGE_SHIFT + INDEX_BITS * (level - 1);
      const index = Number(linear >> BigInt(shift) & 0x1ffn);
      const entry = this.#words(table + index * 8);
      const low = entry[0]!;
      const high = entry[1]!;
      if (!(low & Pte.PRESENT)) throw this.#fault(linear, write, 0);
      rights &= low;
      used.push(entry);
      table = ((low & ADDRESS_LOW) >>> 0) + (high & ADDRESS_HIGH) * HIGH_WORD;
      const leaf = level === 1 || level < 4 && (low & Pte.LARGE) !== 0;
      if (!leaf) continue;
      this.#check(linear, write, rights);
      for (const word of used) Atomics.or(word, 0, Pte.ACCESSED);
      if (write) Atomics.or(entry, 0, Pte.DIRTY);
      const size = 2 ** shift;
      const offset = Number(linear & (1n << BigInt(shift)) - 1n);
      return Math.floor(table / size) * size + offset;
    }
    throw new Error("unreachable: level 1 is a leaf");
  }

  /** An entry's two words, in place. */
  #words(address: number): Uint32Array {
    const { buffer, byteOffset } = this.#memory.bytes(address, 8);
    return new Uint32Array(buffer, byteOffset, 2);
  }

  #check(linear: bigint, write: boolean, rights: number): void {
    const user = (rights & Pte.USER) !== 0;
    const denied = this.#user && !user ||
      this.#smap && user ||
      write && this.#writeProtect && !(rights & Pte.WRITABLE);
    if (denied) throw this.#fault(linear, write, PageFaultCode.PRESENT);
  }

  #fault(linear: bigint, write: boolean, code: number): GuestFault {
    const errorCode = code | (write ? PageFaultCode.WRITE : 0) |
      (this.#user ? PageFaultCode.USER : 0);
    return new GuestFault(Vector.PAGE_FAULT, errorCode, linear);
  }
}
