/**
 * Makes an entropy device on the device worker.
 *
 * @module
 */
import { type EntropySource, getrandom } from "../backends/entropy/source.ts";
import type { FaultPlan } from "../faults/rules.ts";
import type { OwnModule } from "../own/load_class.ts";
import { RateLimiter, type RateLimits } from "../runtime/rate_limiter.ts";
import type { Maker } from "./maker.ts";
import { Rng, type RngLimiter } from "./rng.ts";

/** What an entropy device is made of. */
export interface RngData {
  /** Limits of what the guest may draw. */
  limits: RateLimits | undefined;
  /** A module that the bytes come from. */
  source?: OwnModule;
  /** What happens to requests; undefined: nothing ever does. */
  faults?: FaultPlan;
}

/** The device. */
export const make: Maker<RngData> = async (
  { limits, source: module, faults },
  context,
) => {
  let source: EntropySource = getrandom;
  let limiter: RngLimiter | undefined;
  if (module === undefined) limiter = RateLimiter.from(limits);
  else {
    const { openModuleEntropy } = await import("./module_entropy.ts");
    source = limiter = await openModuleEntropy(module, context);
  }
  if (faults === undefined) return new Rng(source, limiter);
  const { faultyRng } = await import("./faulty_rng.ts");
  return faultyRng(source, limiter, faults, context);
};
