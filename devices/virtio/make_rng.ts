/**
 * Makes an entropy device on the device worker.
 *
 * @module
 */
import { getrandom } from "../backends/entropy/source.ts";
import type { OwnModule } from "../own/load_class.ts";
import { RateLimiter, type RateLimits } from "../runtime/rate_limiter.ts";
import type { Maker } from "./maker.ts";
import { Rng } from "./rng.ts";

/** What an entropy device is made of. */
export interface RngData {
  /** Limits of what the guest may draw. */
  limits: RateLimits | undefined;
  /** A module that the bytes come from. */
  source?: OwnModule;
}

/** The device. */
export const make: Maker<RngData> = async ({ limits, source }, context) => {
  if (source === undefined) return new Rng(getrandom, RateLimiter.from(limits));
  const { makeModuleRng } = await import("./make_module_rng.ts");
  return await makeModuleRng(source, context);
};
