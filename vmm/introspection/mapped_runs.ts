/**
 * What of a machine's RAM its first vCPU's page tables map, and where.
 *
 * @module
 */
import type { GuestMemory } from "../../guest/memory.ts";
import type { MachineView } from "./machine_view.ts";

/** RAM that follows each other both ways. */
export interface MappedRun {
  /** Linear address. */
  linear: bigint;
  /** Guest physical address. */
  physical: number;
  /** Bytes. */
  size: number;
}

/** An ELF file has at most so many, and a header more. */
const RUNS_MAX = 0xfff0;
/** Page tables that are looked into: the guest may have made them a loop. */
const TABLES_MAX = 16 * 1024;

const CR0_PG = 1n << 31n;
const CR4_LA57 = 1n << 12n;
const EFER_LMA = 1n << 10n;
const PRESENT = 1;
const LARGE = 0x80;
const ENTRIES = 512;
const PAGE_SHIFT = 12;

/**
 * All that is mapped, in the order of linear addresses, and then, by its physical
 * address, RAM that isn't. Of tables that are no sane kernel's, only a part. A
 * vCPU without long mode's tables has its RAM by physical address.
 */
export function mappedRuns({ memory, vcpus }: MachineView): MappedRun[] {
  const runs: MappedRun[] = [];
  const special = vcpus[0]!.special;
  const pages = special.control("cr0") & CR0_PG &&
    special.control("efer") & EFER_LMA;
  if (pages) {
    const levels = special.control("cr4") & CR4_LA57 ? 5 : 4;
    const root = Number(special.control("cr3") & 0x000f_ffff_ffff_f000n);
    new TableWalk(memory, runs).table(root, levels, 0n, levels);
  }
  return [...runs, ...uncovered(memory, runs)];
}

class TableWalk {
  readonly #memory: GuestMemory;
  readonly #runs: MappedRun[];
  #tables = 0;

  constructor(memory: GuestMemory, runs: MappedRun[]) {
    this.#memory = memory;
    this.#runs = runs;
  }

  table(address: number, level: number, linear: bigint, levels: number): void {
    if (++this.#tables > TABLES_MAX) return;
    if (this.#memory.find(address, ENTRIES * 8) === undefined) return;
    const { buffer, byteOffset } = this.#memory.bytes(address, ENTRIES * 8);
    const words = new Uint32Array(buffer, byteOffset, ENTRIES * 2);
    const shift = PAGE_SHIFT + 9 * (level - 1);
    for (let index = 0; index < ENTRIES; index++) {
      const low = words[2 * index]!;
      if (!(low & PRESENT)) continue;
      const high = words[2 * index + 1]! & 0x000f_ffff;
      const next = ((low & 0xffff_f000) >>> 0) + high * 2 ** 32;
      const at = linear | BigInt(index) << BigInt(shift);
      if (level === 1 || level < 4 && low & LARGE) {
        const size = 2 ** shift;
        this.#page(canonical(at, levels), next - next % size, size);
      } else {
        this.table(next, level - 1, at, levels);
      }
    }
  }

  #page(linear: bigint, physical: number, size: number): void {
    const last = this.#runs.at(-1);
    const follows = last !== undefined &&
      last.physical + last.size === physical &&
      last.linear + BigInt(last.size) === linear;
    if (follows) {
      if (this.#memory.find(last.physical, last.size + size)) {
        last.size += size;
        return;
      }
    }
    if (this.#runs.length >= RUNS_MAX) return;
    // Of a large page, RAM may be a part.
    const region = this.#memory.find(physical, 1);
    if (region === undefined) return;
    const inRam = Math.min(size, region.end - physical);
    this.#runs.push({ linear, physical, size: inRam });
  }
}

/** Bits above those that are translated are as the highest of these. */
function canonical(linear: bigint, levels: number): bigint {
  const bits = PAGE_SHIFT + 9 * levels;
  return BigInt.asUintN(64, BigInt.asIntN(bits, linear));
}

/** RAM that no run has. */
function uncovered(
  memory: GuestMemory,
  runs: readonly MappedRun[],
): MappedRun[] {
  const sorted = runs.map(({ physical, size }) => ({ physical, size }))
    .sort((a, b) => a.physical - b.physical);
  const found: MappedRun[] = [];
  for (const { guestAddress, end } of memory.regions) {
    let at = guestAddress;
    const add = (to: number) => {
      if (to > at) {
        found.push({ linear: BigInt(at), physical: at, size: to - at });
      }
    };
    for (const { physical, size } of sorted) {
      if (physical + size <= at || physical >= end) continue;
      add(physical);
      at = Math.max(at, physical + size);
    }
    add(end);
  }
  return found.slice(0, RUNS_MAX + 8 - runs.length);
}
