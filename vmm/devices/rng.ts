/**
 * Random numbers: `entropy` in the configuration, `--rng` on the command line.
 *
 * @module
 */
import type { RateLimits } from "../../devices/runtime/rate_limiter.ts";
import type { RngData } from "../../devices/virtio/make_rng.ts";
import { type Keys, object, optional } from "../config/schema/rule.ts";
import type { Kind } from "./kind.ts";
import { rateLimits } from "./limits.ts";

/** A virtio entropy device: the guest's /dev/hwrng. */
export interface Entropy {
  /** Limits of what the guest may draw; default none. */
  rate_limiter?: RateLimits;
}

const ENTROPY: Keys<Entropy> = {
  rate_limiter: optional(
    rateLimits,
    "Limits of what the guest may draw. Default none.",
  ),
};

/** At most one. */
export const RNG: Kind<Entropy, Entropy, RngData> & { list: false } = {
  list: false,
  order: 40,
  about: "Random numbers for the guest.",
  status: "honoured",
  rule: object<Entropy>(ENTROPY),
  make: new URL("../../devices/virtio/make_rng.ts", import.meta.url),
  open: ({ rate_limiter: limits }) => ({ name: "entropy", data: { limits } }),
  options: {
    rows: [{
      flags: "--rng",
      about: "random numbers for the guest: /dev/hwrng",
    }],
    read: ({ rng }: { rng?: boolean }) => rng ? {} : undefined,
  },
};
