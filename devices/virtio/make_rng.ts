/**
 * Makes an entropy device on the device worker.
 *
 * @module
 */
import { getrandom } from "../backends/entropy/source.ts";
import { RateLimiter, type RateLimits } from "../runtime/rate_limiter.ts";
import type { Maker } from "./maker.ts";
import { Rng } from "./rng.ts";

/** What an entropy device is made of. */
export interface RngData {
  /** Limits of what the guest may draw. */
  limits: RateLimits | undefined;
}

/** The device. */
export const make: Maker<RngData> = ({ limits }) =>
  new Rng(getrandom, RateLimiter.from(limits));
