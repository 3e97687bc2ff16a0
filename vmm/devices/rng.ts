/**
 * Random numbers: `entropy` in the configuration, `--rng` on the command line.
 *
 * @module
 */
import type { FaultPlan } from "../../devices/faults/rules.ts";
import type { RateLimits } from "../../devices/runtime/rate_limiter.ts";
import type { RngData } from "../../devices/virtio/make_rng.ts";
import {
  anything,
  type Keys,
  module,
  object,
  onHost,
  optional,
  own,
} from "../config/schema/rule.ts";
import { conflict } from "../config/schema/conflict.ts";
import type { Kind } from "./kind.ts";
import { entropyFaults } from "./faults.ts";
import { rateLimits } from "./limits.ts";

/** A virtio entropy device: the guest's /dev/hwrng. */
export interface Entropy {
  /** Limits of what the guest may draw; default none. */
  rate_limiter?: RateLimits;
  /**
   * URL of a module that the bytes come from: its default export is a class of
   * {@linkcode EntropyModule}s. Default: the host's kernel.
   */
  backend?: string;
  /** Passed to the constructor: plain data. */
  backend_options?: unknown;
  /** What happens to some of its requests; default nothing. */
  faults?: FaultPlan;
}

const ENTROPY: Keys<Entropy> = {
  rate_limiter: optional(
    rateLimits,
    "Limits of what the guest may draw. Default none.",
  ),
  backend: own(module, "A module that the bytes come from, see docs/lab.md."),
  backend_options: own(onHost(anything), "Passed to its constructor."),
  faults: own(entropyFaults, "What happens to some of its requests."),
};

/** At most one. */
export const RNG: Kind<Entropy, Entropy, RngData> & { list: false } = {
  list: false,
  order: 40,
  about: "Random numbers for the guest.",
  status: "honoured",
  rule: object<Entropy>(ENTROPY),
  make: new URL("../../devices/virtio/make_rng.ts", import.meta.url),
  early: ({ backend }) => backend !== undefined,

  conflicts: ([entropy]) =>
    entropy?.backend !== undefined && entropy.rate_limiter !== undefined
      ? [conflict("entropy.backend", "has a rate of its own (rate_limiter)")]
      : [],

  open({ rate_limiter: limits, backend: module, backend_options, faults }) {
    const data = { limits, ...(faults && { faults }) };
    if (module === undefined) return { name: "entropy", data };
    const source = { module, options: backend_options };
    return { name: "entropy", data: { ...data, source }, own: true };
  },
  options: {
    rows: [{
      flags: "--rng",
      about: "random numbers for the guest: /dev/hwrng",
    }],
    read: ({ rng }: { rng?: boolean }) => rng ? {} : undefined,
  },
};
