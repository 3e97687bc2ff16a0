/**
 * The CPU state of the 64-bit Linux boot protocol
 * (Documentation/arch/x86/boot.rst, "64-bit Boot Protocol"): long mode with
 * the first 4 GiB mapped one to one, flat segments, interrupts off, and RSI
 * pointing to boot_params. Bits are named as in the Intel SDM, volume 3.
 *
 * @module
 */
import type {
  Registers,
  Segment,
  SpecialRegisters,
} from "../../ffi/kvm/registers.ts";
import { GiB, Layout, MiB } from "../layout.ts";
import type { GuestMemory } from "../memory.ts";

/** The GDT's selectors: `__BOOT_CS` and `__BOOT_DS` by the protocol. */
export const Selector = { CODE: 0x10, DATA: 0x18, TASK: 0x20 } as const;

/** Control register bits (SDM vol. 3, §2.5) and EFER bits (§2.2.1). */
export const ControlBit = {
  CR0_PE: 1n << 0n,
  CR0_MP: 1n << 1n,
  CR0_ET: 1n << 4n,
  CR0_NE: 1n << 5n,
  CR0_WP: 1n << 16n,
  CR0_PG: 1n << 31n,
  CR4_PAE: 1n << 5n,
  EFER_LME: 1n << 8n,
  EFER_LMA: 1n << 10n,
} as const;

/** RFLAGS with nothing set but the bit that always is. */
const RFLAGS_RESERVED = 2n;

const flat = { base: 0n, limit: 0xffff_ffff, present: 1, dpl: 0, g: 1 };

/** 64-bit code: execute, read, accessed. */
const CODE: Segment = {
  ...flat,
  selector: Selector.CODE,
  type: 0b1011,
  s: 1,
  db: 0,
  l: 1,
};

/** Data: read, write, accessed. */
const DATA: Segment = {
  ...flat,
  selector: Selector.DATA,
  type: 0b0011,
  s: 1,
  db: 1,
  l: 0,
};

/** A busy 64-bit TSS: VMX doesn't enter a guest in long mode without. */
const TASK: Segment = {
  ...flat,
  selector: Selector.TASK,
  limit: 0x67,
  g: 0,
  type: 0b1011,
  s: 0,
  db: 0,
  l: 0,
};

const GDT_ENTRY_SIZE = 8;

/** From the null descriptor to the TSS, which takes two entries. */
const GDT_SIZE = Selector.TASK + 2 * GDT_ENTRY_SIZE;

/** Page table entry bits (SDM vol. 3, §4.5.4). */
const Pte = { PRESENT: 1, WRITABLE: 2, LARGE: 0x80 } as const;

const TABLE_SIZE = 4096;
const ENTRY_SIZE = 8;
const LARGE_PAGE = 2 * MiB;
const MAPPED = 4 * GiB;

/** Writes GDT and page tables into guest memory. */
export function writeBootTables(memory: GuestMemory): void {
  writeGdt(memory);
  writePageTables(memory);
}

/**
 * Changes special registers, as {@linkcode Vcpu.getSregs} gave them, to the
 * 64-bit entry state. The local APIC's base address stays.
 *
 * There is no IDT: an exception before the kernel has its own is a triple
 * fault, and ends the machine.
 */
export function enterLongMode(sregs: SpecialRegisters): void {
  sregs.setSegment("cs", CODE);
  for (const name of ["ds", "es", "fs", "gs", "ss"] as const) {
    sregs.setSegment(name, DATA);
  }
  sregs.setSegment("tr", TASK);
  sregs.setTable("gdt", BigInt(Layout.GDT), GDT_SIZE - 1);
  sregs.setTable("idt", 0n, 0);

  const { CR0_PE, CR0_MP, CR0_ET, CR0_NE, CR0_WP, CR0_PG } = ControlBit;
  sregs.setControl("cr0", CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG);
  sregs.setControl("cr2", 0n);
  sregs.setControl("cr3", BigInt(Layout.PAGE_TABLES));
  sregs.setControl("cr4", ControlBit.CR4_PAE);
  sregs.setControl("efer", ControlBit.EFER_LME | ControlBit.EFER_LMA);
}

/**
 * The general registers of the 64-bit entry; all others are 0.
 *
 * @param entry guest address of the kernel's 64-bit entry point
 * @param bootParams guest address of boot_params
 */
export function bootRegisters(
  entry: number,
  bootParams: number = Layout.BOOT_PARAMS,
): Partial<Registers> {
  return {
    rip: BigInt(entry),
    rsi: BigInt(bootParams),
    rsp: BigInt(Layout.BOOT_STACK),
    rbp: BigInt(Layout.BOOT_STACK),
    rflags: RFLAGS_RESERVED,
  };
}

function writeGdt(memory: GuestMemory): void {
  const gdt = memory.view(Layout.GDT, GDT_SIZE);
  for (const segment of [CODE, DATA, TASK]) {
    gdt.setBigUint64(segment.selector, descriptorOf(segment), true);
  }
}

/** A segment descriptor (SDM vol. 3, §3.4.5), its base being 0. */
function descriptorOf(segment: Segment): bigint {
  const { type, s, dpl, present, l, db, g } = segment;
  const limit = g === 1 ? segment.limit >>> 12 : segment.limit;
  const access = type | s << 4 | dpl << 5 | present << 7;
  const flags = l << 1 | db << 2 | g << 3;
  const high = access << 8 | (limit >>> 16) << 16 | flags << 20;
  return BigInt(high) << 32n | BigInt(limit & 0xffff);
}

/** A PML4 with one PDPT, and four page directories of 2 MiB pages. */
function writePageTables(memory: GuestMemory): void {
  const directories = MAPPED / GiB;
  const table = (index: number) => Layout.PAGE_TABLES + index * TABLE_SIZE;
  const tables = memory.view(
    Layout.PAGE_TABLES,
    (2 + directories) * TABLE_SIZE,
  );
  const write = (index: number, entry: number, value: number) =>
    tables.setBigUint64(
      index * TABLE_SIZE + entry * ENTRY_SIZE,
      BigInt(value),
      true,
    );

  // Sums, not bit-ors: addresses from 2 GiB up don't fit into an int32.
  const usable = Pte.PRESENT + Pte.WRITABLE;
  write(0, 0, table(1) + usable);
  for (let i = 0; i < directories; i++) write(1, i, table(2 + i) + usable);
  for (let page = 0; page < MAPPED / LARGE_PAGE; page++) {
    // The directories follow each other, so the entry may run past the first.
    write(2, page, page * LARGE_PAGE + usable + Pte.LARGE);
  }
}
