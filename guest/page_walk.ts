/**
 * The guest's page tables, read as the CPU reads them (Intel SDM vol. 3, §4.3
 * to §4.5), without changing anything: for whoever looks at a stopped guest.
 *
 * @module
 */
import { type GuestMemory, PAGE_SIZE } from "./memory.ts";

/** The registers that decide how a vCPU translates. */
export interface PagingRegisters {
  /** CR0: PG. */
  cr0: bigint;
  /** CR3: the root. */
  cr3: bigint;
  /** CR4: PSE, PAE, LA57. */
  cr4: bigint;
  /** EFER: LMA. */
  efer: bigint;
}

/** An entry that a walk has read. */
export interface PageTableEntry {
  /** Its table: `PT`, `PD`, `PDPT`, `PML4`, `PML5`. */
  table: string;
  /** Guest physical address of the entry. */
  address: number;
  /** What stands there. */
  value: bigint;
}

/** The way from a linear address to RAM. */
export interface PageWalk {
  /** What was read, the root's entry first. */
  entries: PageTableEntry[];
  /** Guest physical address; undefined: the guest would fault. */
  physical?: number;
  /** Bytes of the page that it is in. */
  pageSize: number;
  /** Present at all levels: programs may access it. */
  user: boolean;
  /** At all levels: it may be written. */
  writable: boolean;
  /** At all levels: code may run there. */
  executable: boolean;
}

const CR0_PG = 1n << 31n;
const CR4_PSE = 1n << 4n;
const CR4_PAE = 1n << 5n;
const CR4_LA57 = 1n << 12n;
const EFER_LMA = 1n << 10n;
const PRESENT = 1n;
const WRITABLE = 2n;
const USER = 4n;
const LARGE = 0x80n;
const NO_EXECUTE = 1n << 63n;
const ADDRESS = 0x000f_ffff_ffff_f000n;
const PAGE_SHIFT = 12;
const LOW_32 = 0xffff_ffffn;

/** One kind of page tables. */
interface Mode {
  /** The tables' names, the root's first. */
  readonly tables: readonly string[];
  /** Bits of the index into each; the root's of PAE has two. */
  readonly bits: number;
  /** Bytes of an entry. */
  readonly entry: 4 | 8;
  /** Tables whose entries may map a page. */
  readonly large: readonly string[];
  /** Bits of a linear address. */
  readonly width: number;
}

const LONG = ["PML5", "PML4", "PDPT", "PD", "PT"];

/** How a vCPU translates; undefined: it doesn't. */
function modeOf({ cr0, cr4, efer }: PagingRegisters): Mode | undefined {
  if (!(cr0 & CR0_PG)) return undefined;
  if (efer & EFER_LMA) {
    const tables = cr4 & CR4_LA57 ? LONG : LONG.slice(1);
    const width = PAGE_SHIFT + 9 * tables.length;
    return { tables, bits: 9, entry: 8, large: ["PDPT", "PD"], width };
  }
  if (cr4 & CR4_PAE) {
    const tables = LONG.slice(2);
    return { tables, bits: 9, entry: 8, large: ["PD"], width: 32 };
  }
  const large = cr4 & CR4_PSE ? ["PD"] : [];
  return { tables: ["PD", "PT"], bits: 10, entry: 4, large, width: 32 };
}

/** Follows a linear address through the page tables. */
export function walkPages(
  memory: GuestMemory,
  registers: PagingRegisters,
  linear: bigint,
): PageWalk {
  const walk: PageWalk = {
    entries: [],
    pageSize: PAGE_SIZE,
    user: true,
    writable: true,
    executable: true,
  };
  const mode = modeOf(registers);
  if (mode === undefined) {
    walk.physical = Number(linear & LOW_32);
    return walk;
  }
  const { tables, bits, entry: size, large, width } = mode;
  if (width > 32) {
    if (BigInt.asIntN(width, linear) !== BigInt.asIntN(64, linear)) return walk;
  } else if (linear !== (linear & LOW_32)) return walk;
  // PAE's root is aligned to 32 bytes only.
  let next = tables[0] === "PDPT"
    ? registers.cr3 & 0xffff_ffe0n
    : registers.cr3 & ADDRESS;
  for (const [index, table] of tables.entries()) {
    const shift = PAGE_SHIFT + bits * (tables.length - 1 - index);
    const slot = Number(linear >> BigInt(shift) & (1n << BigInt(bits)) - 1n);
    const address = Number(next) + slot * size;
    const value = entryAt(memory, address, size);
    if (value === undefined) return walk;
    walk.entries.push({ table, address, value });
    if (!(value & PRESENT)) return walk;
    // The root of PAE has no rights.
    if (!(width === 32 && table === "PDPT")) {
      walk.user &&= (value & USER) !== 0n;
      walk.writable &&= (value & WRITABLE) !== 0n;
      if (size === 8) walk.executable &&= (value & NO_EXECUTE) === 0n;
    }
    const isLarge = large.includes(table) && (value & LARGE) !== 0n;
    if (table === "PT" || isLarge) {
      const inPage = (1n << BigInt(shift)) - 1n;
      walk.pageSize = 2 ** shift;
      walk.physical = Number(
        frameOf(value, size, isLarge) & ~inPage | linear & inPage,
      );
      return walk;
    }
    next = value & ADDRESS;
  }
  return walk;
}

/** Where an entry's page begins; the low bits of a large one are no address. */
function frameOf(value: bigint, size: 4 | 8, large: boolean): bigint {
  if (size === 4 && large) {
    // PSE-36: bits 13 to 20 are those above 32.
    return value & 0xffc0_0000n | (value >> 13n & 0xffn) << 32n;
  }
  return value & ADDRESS;
}

function entryAt(
  memory: GuestMemory,
  address: number,
  size: 4 | 8,
): bigint | undefined {
  if (memory.find(address, size) === undefined) return undefined;
  const view = memory.view(address, size);
  return size === 8
    ? view.getBigUint64(0, true)
    : BigInt(view.getUint32(0, true));
}
