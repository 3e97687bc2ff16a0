/**
 * What the CPU reads of memory by itself while {@linkcode NativeStep} runs an
 * instruction: page tables, GDT, IDT, TSS, and the stack of its exceptions.
 *
 * @module
 */
import type { SpecialRegisters } from "../ffi/kvm/registers.ts";

const PAGE = 4096;
const ENTRIES = 512;
/** A quarter of the upper half that Linux has nothing in. */
const LINEAR = 0xffff_8f00_0000_0000n;
const LINEAR_SIZE = 1n << 39n;

/** Pages of the own memory. */
const Page = { SYSTEM: 0, HANDLERS: 1, STACK: 2, ROOT: 3 } as const;
const PAGES = 128;
const Offset = { GDT: 0, TSS: 0x100, IDT: 0x200 } as const;
const HANDLER_SIZE = 16;
const VECTORS = 32;
/** At CPL0, with no interrupt chip, it is an exit. */
const HLT = 0xf4;

// Linux's selectors: KVM without VMX and SVM wants them for CPL3.
const KERNEL_CODE = 0x10;
const USER_DATA = 0x2b;
const USER_CODE = 0x33;
const DESCRIPTORS: readonly (readonly [selector: number, value: bigint])[] = [
  [KERNEL_CODE, 0x00af_9b00_0000_ffffn],
  [0x18, 0x00cf_9300_0000_ffffn],
  [USER_DATA & ~7, 0x00cf_f300_0000_ffffn],
  [USER_CODE & ~7, 0x00af_fb00_0000_ffffn],
];
const INTERRUPT_GATE = 0xee;
const TSS_RSP0 = 4;

const Pte = { PRESENT: 1n, WRITABLE: 2n, USER: 4n } as const;
const ADDRESS = 0x000f_ffff_ffff_f000n;

/** A mapped page. */
interface Mapped {
  physical: number;
  write: boolean;
}

/** The tables, in memory that is at `base` in the second VM. */
export class StepTables {
  /** Bytes of memory that the tables take. */
  static readonly SIZE: number = PAGES * PAGE;
  readonly #view: DataView;
  readonly #base: number;
  readonly #mapped = new Map<bigint, Mapped>();
  #free = 0;

  /** Writes tables in which nothing of the guest is mapped. */
  constructor(view: DataView, base: number) {
    this.#view = view;
    this.#base = base;
    for (const [selector, value] of DESCRIPTORS) {
      view.setBigUint64(Offset.GDT + selector, value, true);
    }
    for (let vector = 0; vector < VECTORS; vector++) {
      const gate = Offset.IDT + vector * 16;
      const handler = LINEAR + BigInt(Page.HANDLERS * PAGE) +
        BigInt(vector * HANDLER_SIZE);
      view.setUint16(gate, Number(handler & 0xffffn), true);
      view.setUint16(gate + 2, KERNEL_CODE, true);
      view.setUint8(gate + 5, INTERRUPT_GATE);
      view.setUint16(gate + 6, Number(handler >> 16n & 0xffffn), true);
      view.setUint32(gate + 8, Number(handler >> 32n), true);
    }
    for (let i = 0; i < PAGE; i++) {
      view.setUint8(Page.HANDLERS * PAGE + i, HLT);
    }
    const top = LINEAR + BigInt((Page.STACK + 1) * PAGE);
    view.setBigUint64(Offset.TSS + TSS_RSP0, top, true);
    this.clear();
  }

  /** Unmaps all of the guest. */
  clear(): void {
    this.#mapped.clear();
    const { byteOffset, buffer } = this.#view;
    const start = Page.ROOT * PAGE;
    new Uint8Array(buffer, byteOffset + start, (PAGES - Page.ROOT) * PAGE)
      .fill(0);
    this.#free = Page.ROOT + 1;
    for (const page of [Page.SYSTEM, Page.HANDLERS, Page.STACK]) {
      const linear = LINEAR + BigInt(page * PAGE);
      this.#enterPage(linear, this.#base + page * PAGE, Pte.WRITABLE);
    }
  }

  /** True for addresses that these tables have for themselves. */
  covers(linear: bigint): boolean {
    const offset = BigInt.asUintN(64, linear) - LINEAR;
    return offset >= -BigInt(PAGE) && offset < LINEAR_SIZE;
  }

  /** Maps a page for CPL3. False when there is no more room. */
  map(linear: bigint, physical: number, write: boolean): boolean {
    const page = linear & ~BigInt(PAGE - 1);
    const at = physical - physical % PAGE;
    if (this.#free > PAGES - 4) return false;
    const rights = Pte.USER | (write ? Pte.WRITABLE : 0n);
    this.#enterPage(page, at, rights);
    this.#mapped.set(page, { physical: at, write });
    return true;
  }

  /** Asks for each page of the guest; stops at the first `false`. */
  every(
    test: (linear: bigint, physical: number, write: boolean) => boolean,
  ): boolean {
    // Nearly full: as good as changed.
    if (this.#free > PAGES / 2) return false;
    return this.#mapped.entries().every(([linear, { physical, write }]) =>
      test(linear, physical, write)
    );
  }

  /** The exception whose handler RIP is in, or undefined. */
  vectorAt(rip: bigint): number | undefined {
    const offset = rip - LINEAR - BigInt(Page.HANDLERS * PAGE);
    if (offset < 0n || offset >= BigInt(VECTORS * HANDLER_SIZE)) {
      return undefined;
    }
    return Math.floor(Number(offset) / HANDLER_SIZE);
  }

  /** The error code that an exception has pushed at RSP. */
  errorCodeAt(rsp: bigint): number {
    const offset = Number(BigInt.asUintN(64, rsp) - LINEAR);
    return this.#view.getUint32(offset, true);
  }

  /** What an exception without an error code has pushed at RSP. */
  frameAt(rsp: bigint): { rip: bigint; rflags: bigint; rsp: bigint } {
    const at = Number(BigInt.asUintN(64, rsp) - LINEAR);
    const word = (index: number) =>
      this.#view.getBigUint64(at + index * 8, true);
    return { rip: word(0), rflags: word(2), rsp: word(3) };
  }

  /** Special registers for CPL3 on these tables. */
  enter(sregs: SpecialRegisters): void {
    sregs.setControl("cr3", BigInt(this.#base + Page.ROOT * PAGE));
    sregs.setTable("gdt", LINEAR + BigInt(Offset.GDT), 0x37);
    sregs.setTable("idt", LINEAR + BigInt(Offset.IDT), VECTORS * 16 - 1);
    const task = { base: LINEAR + BigInt(Offset.TSS) };
    sregs.setSegment("tr", { ...sregs.segment("tr"), ...task });
    const data = { selector: USER_DATA, dpl: 3 };
    sregs.setSegment("ss", { ...sregs.segment("ss"), ...data });
    const code = { selector: USER_CODE, dpl: 3 };
    sregs.setSegment("cs", { ...sregs.segment("cs"), ...code });
  }

  #enterPage(linear: bigint, physical: number, rights: bigint): void {
    let table = Page.ROOT;
    for (const shift of [39n, 30n, 21n]) {
      const at = this.#entry(table, linear, shift);
      let entry = this.#view.getBigUint64(at, true);
      if (!(entry & Pte.PRESENT)) {
        const next = BigInt(this.#base + this.#free++ * PAGE);
        entry = next | Pte.PRESENT | Pte.WRITABLE | Pte.USER;
        this.#view.setBigUint64(at, entry, true);
      }
      table = (Number(entry & ADDRESS) - this.#base) / PAGE;
    }
    const at = this.#entry(table, linear, 12n);
    this.#view.setBigUint64(at, BigInt(physical) | rights | Pte.PRESENT, true);
  }

  #entry(table: number, linear: bigint, shift: bigint): number {
    const index = Number(linear >> shift & BigInt(ENTRIES - 1));
    return table * PAGE + index * 8;
  }
}
