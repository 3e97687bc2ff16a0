/**
 * Makes a block device over a backend with faults.
 *
 * @module
 */
import type { BlockBackend } from "../../backends/block/backend.ts";
import { FaultyDisk } from "../../faults/disk.ts";
import { type FaultPlan, Faults } from "../../faults/rules.ts";
import { withFaults } from "../../faults/with_faults.ts";
import type { MakerContext } from "../maker.ts";
import type { Blk } from "./blk.ts";

/** What `make` makes over a backend with faults. */
export function faultyBlk(
  inner: BlockBackend,
  plan: FaultPlan,
  id: string,
  { emit }: MakerContext,
  make: (backend: BlockBackend) => Blk,
): Blk {
  const faults = new Faults(id, "disk", plan, emit);
  const backend = new FaultyDisk(inner, faults);
  return withFaults(make(backend), faults, [backend]);
}
