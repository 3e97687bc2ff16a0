/**
 * The probe as a function of the library.
 *
 * @module
 */
import type { ProbeReport } from "./report.ts";

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
  // A machine needs none of it.
  const { probeHost } = await import("./probe.ts");
  return probeHost();
}
