/**
 * What not every machine has: loaded when one has it.
 *
 * @module
 */

// Not literals in `import()`: those are read at the start, needed or not.
const ACPI = new URL("../guest/acpi/tables.ts", import.meta.url).href;
const PCI = new URL("./pci/shared_state.ts", import.meta.url).href;
const SNAPSHOTS = new URL("./snapshot/mod.ts", import.meta.url).href;

/** Writes the tables that a guest finds its devices by. */
export async function acpiTables(): Promise<
  typeof import("../guest/acpi/tables.ts")
> {
  return await import(ACPI);
}

/** Makes what the threads share of a PCI bus. */
export async function pciState(): Promise<
  typeof import("./pci/shared_state.ts")
> {
  return await import(PCI);
}

/** Takes and restores snapshots. */
export async function snapshots(): Promise<
  typeof import("./snapshot/mod.ts")
> {
  return await import(SNAPSHOTS);
}
