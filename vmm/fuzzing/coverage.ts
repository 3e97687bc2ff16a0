/**
 * What tries have shown of a driver: what it does next with its device, what the
 * guest says, and where its code has been if KCOV says so.
 *
 * @module
 */
import type { VcpuState } from "../../ffi/kvm/vcpu_state.ts";
import { SpecialRegisters } from "../../ffi/kvm/registers.ts";
import { VireoError } from "../../ffi/error.ts";
import { type GuestMemory, PAGE_SIZE } from "../../guest/memory.ts";
import { walkPages } from "../../guest/page_walk.ts";

/** A buffer of KCOV's that the guest's program has mapped. */
export interface KcovBuffer {
  /** Its address in the program that runs when a try begins, of a page. */
  address: number;
  /** Entries of 8 bytes, with the first, which counts them: 2 to 2^24. */
  entries: number;
}

/** 128 MiB of them; the kernel's own limit is higher. */
const MOST_ENTRIES = 1 << 24;

/** Where KCOV writes, found once: it stays where it is. */
export class Kcov {
  readonly #pages: DataView[];
  readonly #entries: number;

  /**
   * @param state of the vCPU, while that program runs
   * @throws {VireoError} it has nothing mapped there, or that can't be
   */
  constructor(
    { address, entries }: KcovBuffer,
    memory: GuestMemory,
    state: VcpuState,
  ) {
    if (!Number.isSafeInteger(address) || address < 0 || address % PAGE_SIZE) {
      throw new VireoError(
        `fuzz: kcov: address ${address} is not that of a page`,
      );
    }
    if (!Number.isInteger(entries) || entries < 2 || entries > MOST_ENTRIES) {
      throw new VireoError(
        `fuzz: kcov: ${entries} is not 2 to ${MOST_ENTRIES} entries`,
      );
    }
    const sregs = new SpecialRegisters();
    sregs.bytes.set(state.sregs);
    const registers = {
      cr0: sregs.control("cr0"),
      cr3: sregs.control("cr3"),
      cr4: sregs.control("cr4"),
      efer: sregs.control("efer"),
    };
    this.#entries = entries;
    this.#pages = Array.from(
      { length: Math.ceil(entries * 8 / PAGE_SIZE) },
      (_, i) => {
        const at = address + i * PAGE_SIZE;
        const { physical } = walkPages(memory, registers, BigInt(at));
        if (physical === undefined) {
          throw new VireoError(
            `fuzz: the program that runs has no KCOV at 0x${at.toString(16)}`,
          );
        }
        return memory.view(physical, PAGE_SIZE);
      },
    );
  }

  /** Calls `visit` with the low half of each address that was come by. */
  each(visit: (address: number) => void): void {
    const count = Math.min(this.#word(0), this.#entries - 1);
    for (let i = 1; i <= count; i++) visit(this.#word(i));
  }

  #word(index: number): number {
    const at = index * 8;
    const page = this.#pages[Math.floor(at / PAGE_SIZE)]!;
    return page.getUint32(at % PAGE_SIZE, true);
  }
}

/** Collects what tries show, and keeps what one has shown that none has before. */
export class Coverage {
  readonly #seen = new Set<string | number>();
  readonly #fresh = new Set<string | number>();
  #places = 0;
  #before = -1;

  /** How much has been seen: pairs of accesses, lines and places. */
  get size(): number {
    return this.#seen.size;
  }

  /** How many places in the code have been seen: KCOV's. */
  get places(): number {
    return this.#places;
  }

  /** How much the try has shown that was not seen before. */
  get fresh(): number {
    return this.#fresh.size;
  }

  /** A try begins: what the last has shown is forgotten, if it was not kept. */
  begin(): void {
    this.#fresh.clear();
    this.#before = -1;
  }

  /** What the try has shown has been seen from now on. */
  keep(): void {
    for (const what of this.#fresh) {
      this.#seen.add(what);
      if (typeof what === "number") this.#places++;
    }
    this.#fresh.clear();
  }

  /** The driver has accessed a register, after the last. */
  access(offset: number, isWrite: boolean): void {
    const now = offset * 2 + (isWrite ? 1 : 0);
    this.#add(`${this.#before}>${now}`);
    this.#before = now;
  }

  /** The guest has said so. */
  line(kind: string): void {
    this.#add(kind);
  }

  /** KCOV's. */
  kcov(buffer: Kcov): void {
    buffer.each((address) => this.#add(address));
  }

  #add(what: string | number): void {
    if (!this.#seen.has(what)) this.#fresh.add(what);
  }
}
