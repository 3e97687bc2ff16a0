/**
 * How many descriptors a configuration's machine takes.
 *
 * @module
 */
import type { ResolvedConfig } from "./resolve.ts";

/** Descriptors that a machine has, at most: most are its threads' own. */
export function descriptors({ cpus, devices }: ResolvedConfig): number {
  const ofDevices = devices.map(({ config }) =>
    8 + 4 * ((config as { queues?: number }).queues ?? 1)
  );
  return 12 + 7 * cpus + ofDevices.reduce((sum, count) => sum + count, 10);
}
