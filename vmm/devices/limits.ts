/**
 * Rate limits, which several kinds of devices have.
 *
 * @module
 */
import type {
  RateLimits,
  TokenBucket,
} from "../../devices/runtime/rate_limiter.ts";
import {
  integer,
  type Keys,
  object,
  optional,
  required,
} from "../config/schema/rule.ts";

/** A number of tokens, or of milliseconds. */
const tokens = integer(0, Number.MAX_SAFE_INTEGER);

const TOKEN_BUCKET: Keys<TokenBucket, "one_time_burst"> = {
  size: required(tokens, "Tokens in a full bucket. 0 is no limit."),
  one_time_burst: optional(tokens, "More tokens, at the start only.", 0),
  refill_time: required(
    tokens,
    "Milliseconds until an empty bucket is full. 0 is no limit.",
  ),
};

const bucket = object<TokenBucket, "one_time_burst">(TOKEN_BUCKET);

const RATE_LIMITS: Keys<RateLimits> = {
  bandwidth: optional(bucket, "A token is a byte."),
  ops: optional(bucket, "A token is a request, or a frame."),
};

/** Limits of what a device may do per time. */
export const rateLimits = object<RateLimits>(RATE_LIMITS);
