/**
 * The probe as a function of the library.
 *
 * @module
 */
import type { ProbeReport } from "./report.ts";

/** A machine needs none of it; a literal in `import()` would be read at once. */
const PROBE = new URL("./probe.ts", import.meta.url).href;

/**
 * What this host offers to machines, and what that means. Takes about a
 * second, in which it blocks.
 *
 * @example
 * ```ts ignore
 * const { runs, advice } = await probe();
 * ```
 */
export async function probe(): Promise<ProbeReport> {
  const { probeHost }: typeof import("./probe.ts") = await import(PROBE);
  return probeHost();
}
