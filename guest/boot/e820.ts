/**
 * The memory map that a guest is given: which of its physical addresses are
 * RAM. The types are those of ACPI 6.5 §15 (INT 15h, E820h).
 *
 * @module
 */
import { Layout } from "../layout.ts";
import type { GuestMemory } from "../memory.ts";

/** Address range types. */
export const E820 = { RAM: 1, RESERVED: 2, ACPI: 3 } as const;

/** One range of guest physical memory. */
export interface E820Entry {
  /** First address. */
  address: number;
  /** Bytes. */
  size: number;
  /** One of {@linkcode E820}. */
  type: number;
}

/**
 * The map of a guest with this RAM, lowest address first. From the EBDA (MP
 * table) on everything is reserved, so that a kernel keeps its hands off; then
 * ACPI tables up to 1 MiB. The MMIO hole is simply not there.
 */
export function memoryMap(memory: GuestMemory): E820Entry[] {
  const map: E820Entry[] = [];
  const add = (from: number, to: number, type: number) => {
    if (to > from) map.push({ address: from, size: to - from, type });
  };
  for (const { guestAddress, end } of memory.regions) {
    if (guestAddress >= Layout.HIGH_MEMORY) {
      add(guestAddress, end, E820.RAM);
      continue;
    }
    add(guestAddress, Math.min(end, Layout.EBDA), E820.RAM);
    add(Layout.EBDA, Layout.ACPI, E820.RESERVED);
    add(Layout.ACPI, Layout.HIGH_MEMORY, E820.ACPI);
    add(Layout.HIGH_MEMORY, end, E820.RAM);
  }
  return map;
}
