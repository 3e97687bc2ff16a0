/**
 * Makes an entropy device whose source has faults.
 *
 * @module
 */
import type { EntropySource } from "../backends/entropy/source.ts";
import { FaultyEntropy } from "../faults/entropy.ts";
import { type FaultPlan, Faults } from "../faults/rules.ts";
import { withFaults } from "../faults/with_faults.ts";
import type { MakerContext } from "./maker.ts";
import { Rng, type RngLimiter } from "./rng.ts";

/** The device. */
export function faultyRng(
  source: EntropySource,
  limiter: RngLimiter | undefined,
  plan: FaultPlan,
  { emit }: MakerContext,
): Rng {
  const faults = new Faults("entropy", "entropy", plan, emit);
  const faulty = new FaultyEntropy(source, limiter, faults);
  return withFaults(new Rng(faulty, faulty), faults, [faulty]);
}
