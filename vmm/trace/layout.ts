/**
 * Where what is in a thread's page: a device's counters, and the numbers of
 * events. The writers and the readers of pages agree here.
 *
 * @module
 */
import { EXIT_EVENT } from "../../ffi/kvm/exit_recorder.ts";
import { BlkType } from "../../devices/virtio/blk/spec.ts";

/** Kinds of events, as numbers: bits of a {@linkcode Recorder}'s `wanted`. */
export const EventKind = {
  EXIT: EXIT_EVENT,
  DOORBELL: 1,
  REQUEST: 2,
  BEGIN: 3,
  INTERRUPT: 4,
  FRAME: 5,
  STEP: 6,
  OWN: 7,
  STATE: 8,
  /** More of the text of the event before. */
  TEXT: 31,
} as const;

/** The longest text of an event, in bytes. */
export const TEXT_MAX = 200;
/** Bytes of a text in each event that goes on with it: four doubles. */
export const TEXT_BYTES = 32;

/** Steps of a device's life, in the order of their numbers in events. */
export const STEPS = [
  "activated",
  "reset",
  "needs-reset",
  "throttled",
] as const;

/** A device's own counters. */
export const DeviceCounter = {
  IN_FLIGHT: 0,
  CONFIG_INTERRUPTS: 1,
  /** The first of {@linkcode STEPS}. */
  STEPS: 8,
} as const;

/** Where the counters of a device's queues are; so many each. */
export const QUEUES_AT = 16;
/** Counters of a queue. */
export const QUEUE_COUNTERS = 8;
/** A queue's counters. */
export const QueueCounter = {
  DOORBELLS: 0,
  POLLS: 1,
  CHAINS: 2,
  INTERRUPTS: 3,
  FRAMES: 4,
  FRAME_BYTES: 5,
  LOST_FRAMES: 6,
} as const;

/** Where the counters of a device's types of requests are; so many each. */
export const REQUESTS_AT = 256;
/** Counters of a type of requests. */
export const REQUEST_COUNTERS = 32;
/** A type of requests' counters. */
export const RequestCounter = {
  REQUESTS: 0,
  BYTES: 1,
  ERRORS: 2,
  /** Nanoseconds, of all together. */
  TIME: 3,
  /** The first bucket of latencies. */
  BUCKETS: 4,
} as const;

/**
 * Buckets of latencies. Bucket n has those of at most 2^n microseconds that
 * are in none before it; the last has all others.
 */
export const LATENCY_BUCKETS = 26;

/** A type of requests. */
export type RequestType =
  | "read"
  | "write"
  | "flush"
  | "discard"
  | "write-zeroes"
  | "get-id"
  | "other";

/** Types of requests, in the order of their counters. */
export const REQUEST_TYPES: readonly RequestType[] = [
  "read",
  "write",
  "flush",
  "discard",
  "write-zeroes",
  "get-id",
  "other",
];

const NAMES: readonly (readonly [number, RequestType])[] = [
  [BlkType.IN, "read"],
  [BlkType.OUT, "write"],
  [BlkType.FLUSH, "flush"],
  [BlkType.DISCARD, "discard"],
  [BlkType.WRITE_ZEROES, "write-zeroes"],
  [BlkType.GET_ID, "get-id"],
];
const INDEX = new Uint8Array(16).fill(REQUEST_TYPES.indexOf("other"));
for (const [type, name] of NAMES) INDEX[type] = REQUEST_TYPES.indexOf(name);

/** The place in {@linkcode REQUEST_TYPES} of the type that a driver named. */
export function requestType(type: number): number {
  return INDEX[type] ?? REQUEST_TYPES.indexOf("other");
}

/** The bucket of a latency in nanoseconds. */
export function latencyBucket(nanoseconds: number): number {
  if (nanoseconds <= 1000) return 0;
  const microseconds = Math.ceil(nanoseconds / 1000);
  if (microseconds > 1 << (LATENCY_BUCKETS - 2)) return LATENCY_BUCKETS - 1;
  return 32 - Math.clz32(microseconds - 1);
}
