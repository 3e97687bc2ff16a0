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
  /** Its address in the program that runs when a try begins. */
  address: number;
  /** Entries of 8 bytes, with the first, which counts them. */
  entries: number;
}

/** Where KCOV writes, found once: it stays where it is. */
export class Kcov {
  readonly #pages: DataView[];
  readonly #entries: number;

  /**
   * @param state of the vCPU, while that program runs
   * @throws {VireoError} it has nothing mapped there
   */
  constructor(
    { address, entries }: KcovBuffer,
    memory: GuestMemory,
    state: VcpuState,
  ) {
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

/** Collects what is seen, and counts what is new. */
export class Coverage {
  readonly #seen = new Set<string | number>();
  #fresh = 0;
  #before = -1;

  /** How much has been seen. */
  get size(): number {
    return this.#seen.size;
  }

  /** What was new since the try began. */
  get fresh(): number {
    return this.#fresh;
  }

  /** A try begins. */
  begin(): void {
    this.#fresh = 0;
    this.#before = -1;
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
    if (this.#seen.has(what)) return;
    this.#seen.add(what);
    this.#fresh++;
  }
}
