/**
 * What not every machine has: loaded when one has it.
 *
 * @module
 */
import type { PciState } from "./build.ts";
import type { ResolvedConfig } from "./config/mod.ts";

// Not literals in `import()`: those are read at the start, needed or not.
const PCI = new URL("./pci/shared_state.ts", import.meta.url).href;
const SNAPSHOTS = new URL("./snapshot/mod.ts", import.meta.url).href;

/** What a PCI bus is made with; undefined where there is none. */
export async function pciOf(
  { transport }: ResolvedConfig,
): Promise<PciState | undefined> {
  return transport === "pci" ? await import(PCI) : undefined;
}

/** Takes and restores snapshots. */
export async function snapshots(): Promise<
  typeof import("./snapshot/mod.ts")
> {
  return await import(SNAPSHOTS);
}
