/**
 * The PVH boot protocol: `struct hvm_start_info` and the CPU state at a
 * kernel's 32-bit entry point, which an ELF note names. Source:
 * xen/include/public/arch-x86/hvm/start_info.h and docs/misc/pvh.pandoc of
 * the Xen project.
 *
 * @module
 */
import type {
  Registers,
  Segment,
  SpecialRegisters,
} from "../../ffi/kvm/registers.ts";
import type { BootFile } from "../kernel/mod.ts";
import type { KernelCommandLine } from "./cmdline.ts";
import { memoryMap } from "./e820.ts";
import { Layout } from "../layout.ts";
import { loadInitrd, writeCommandLine } from "./linux.ts";
import type { GuestMemory } from "../memory.ts";

/** What {@linkcode setUpPvh} puts into the guest beside the kernel. */
export interface PvhBootOptions {
  /** The kernel command line. */
  commandLine: KernelCommandLine;
  /** Guest address after the kernel's last byte. */
  kernelEnd: number;
  /** The initial RAM disk: the first module. */
  initrd?: BootFile;
  /** Guest address of ACPI's RSDP. */
  rsdp?: number;
}

/** Guest addresses: a kernel that is entered so has no boot_params. */
const Place = {
  START_INFO: Layout.BOOT_PARAMS,
  MODLIST: Layout.BOOT_PARAMS + 0x40,
  MEMMAP: Layout.BOOT_PARAMS + 0x80,
} as const;

/** `struct hvm_start_info`, version 1. */
const StartInfo = {
  MAGIC: 0,
  VERSION: 4,
  NR_MODULES: 12,
  MODLIST_PADDR: 16,
  CMDLINE_PADDR: 24,
  RSDP_PADDR: 32,
  MEMMAP_PADDR: 40,
  MEMMAP_ENTRIES: 48,
  SIZE: 56,
} as const;

const MAGIC = 0x336ec578; // "xEn3" with the 0x80 bit of the "E" set
const VERSION = 1;

/** `struct hvm_modlist_entry`. */
const Module = { PADDR: 0, SIZE: 8, BYTES: 32 } as const;

/** `struct hvm_memmap_table_entry`: its types are those of E820. */
const MemMap = { ADDR: 0, SIZE: 8, TYPE: 16, BYTES: 24 } as const;

/**
 * Puts command line, initrd, memory map and hvm_start_info into guest memory.
 *
 * @returns the guest address of hvm_start_info, for EBX
 * @throws {KernelError} when they don't fit, or the initrd can't be read
 */
export function setUpPvh(
  memory: GuestMemory,
  { commandLine, kernelEnd, initrd, rsdp = 0 }: PvhBootOptions,
): number {
  writeCommandLine(memory, commandLine);
  const info = memory.view(Place.START_INFO, StartInfo.SIZE);
  const u32 = (offset: number, value: number) =>
    info.setUint32(offset, value, true);
  const u64 = (offset: number, value: number) =>
    info.setBigUint64(offset, BigInt(value), true);
  u32(StartInfo.MAGIC, MAGIC);
  u32(StartInfo.VERSION, VERSION);
  u64(StartInfo.CMDLINE_PADDR, Layout.COMMAND_LINE);
  u64(StartInfo.RSDP_PADDR, rsdp);
  if (initrd !== undefined) {
    const { address, size } = loadInitrd(memory, initrd, kernelEnd);
    const module = memory.view(Place.MODLIST, Module.BYTES);
    module.setBigUint64(Module.PADDR, BigInt(address), true);
    module.setBigUint64(Module.SIZE, BigInt(size), true);
    u32(StartInfo.NR_MODULES, 1);
    u64(StartInfo.MODLIST_PADDR, Place.MODLIST);
  }
  const map = memoryMap(memory);
  const table = memory.view(Place.MEMMAP, map.length * MemMap.BYTES);
  map.forEach(({ address, size, type }, index) => {
    const at = index * MemMap.BYTES;
    table.setBigUint64(at + MemMap.ADDR, BigInt(address), true);
    table.setBigUint64(at + MemMap.SIZE, BigInt(size), true);
    table.setUint32(at + MemMap.TYPE, type, true);
  });
  u64(StartInfo.MEMMAP_PADDR, Place.MEMMAP);
  u32(StartInfo.MEMMAP_ENTRIES, map.length);
  return Place.START_INFO;
}

/** A flat 32-bit segment that begins at 0. */
const flat: Segment = {
  base: 0n,
  limit: 0xffff_ffff,
  selector: 0,
  type: 0,
  present: 1,
  dpl: 0,
  db: 1,
  s: 1,
  l: 0,
  g: 1,
};

/** The protocol leaves the selectors open, and there is no GDT behind them. */
const CODE: Segment = { ...flat, selector: 0x08, type: 0b1011 };
const DATA: Segment = { ...flat, selector: 0x10, type: 0b0011 };
/** A busy 32-bit TSS of the smallest size. */
const TASK: Segment = {
  ...flat,
  selector: 0x18,
  type: 0b1011,
  limit: 0x67,
  db: 0,
  s: 0,
  g: 0,
};

const CR0_PE = 1n << 0n;
const CR0_ET = 1n << 4n;
const RFLAGS_RESERVED = 2n;

/**
 * Changes special registers to the PVH entry state: 32-bit protected mode
 * without paging, flat segments. The local APIC's base address stays.
 */
export function enterProtectedMode(sregs: SpecialRegisters): void {
  sregs.setSegment("cs", CODE);
  for (const name of ["ds", "es", "fs", "gs", "ss"] as const) {
    sregs.setSegment(name, DATA);
  }
  sregs.setSegment("tr", TASK);
  sregs.setTable("gdt", 0n, 0);
  sregs.setTable("idt", 0n, 0);
  sregs.setControl("cr0", CR0_PE | CR0_ET);
  sregs.setControl("cr3", 0n);
  sregs.setControl("cr4", 0n);
  sregs.setControl("efer", 0n);
}

/**
 * The general registers at the PVH entry; all others are 0, interrupts off.
 *
 * @param entry guest address of the kernel's PVH entry point
 * @param startInfo guest address of hvm_start_info
 */
export function pvhRegisters(
  entry: number,
  startInfo: number,
): Partial<Registers> {
  return {
    rip: BigInt(entry),
    rbx: BigInt(startInfo),
    rflags: RFLAGS_RESERVED,
  };
}
