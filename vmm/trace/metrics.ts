/**
 * A machine's counters, read out of its threads' pages.
 *
 * @module
 */
import {
  DeviceState,
  DeviceWord,
} from "../../devices/virtio/transport/device_state.ts";
import { DeviceId } from "../../devices/virtio/spec.ts";
import { EXIT_COUNTERS } from "../../ffi/kvm/exit_recorder.ts";
import { exitName } from "../../ffi/kvm/run.ts";
import { Recorder, SUBJECT_COUNTERS } from "../../ffi/recorder.ts";
import type { MachineParts } from "../build.ts";
import {
  DeviceCounter,
  LATENCY_BUCKETS,
  QUEUE_COUNTERS,
  QueueCounter,
  QUEUES_AT,
  REQUEST_COUNTERS,
  REQUEST_TYPES,
  RequestCounter,
  REQUESTS_AT,
  type RequestType,
  STEPS,
} from "./layout.ts";

/** What a machine has done since its start. */
export interface MachineMetrics {
  /** Bytes of the guest's memory. */
  memory: number;
  /** The vCPUs, in the order of their numbers. */
  vcpus: VcpuMetrics[];
  /** The virtio devices, in the order of the configuration. */
  devices: DeviceMetrics[];
}

/** What a vCPU has done. */
export interface VcpuMetrics {
  /** Exits to Vireo by `KVM_EXIT_*` reason, such as `mmio`; none: left out. */
  exits: Record<string, number>;
}

/** What a device has done. */
export interface DeviceMetrics {
  /** What the configuration calls it. */
  name: string;
  /** Such as `block` and `net`; `virtio-N` of a device id that has no name. */
  kind: string;
  /** Requests that have begun and not ended. */
  inFlight: number;
  /** Interrupts for a change of the configuration. */
  configInterrupts: number;
  /** How often a driver has taken it into use. */
  activations: number;
  /** How often a driver has reset it. */
  resets: number;
  /** How often it could not go on without a reset. */
  needsReset: number;
  /** How often its rate limits held it back. */
  throttled: number;
  /** Its queues, in the order of their numbers. */
  queues: QueueMetrics[];
  /** Requests by type, of a device that has them. */
  requests: Partial<Record<RequestType, RequestMetrics>>;
}

/** What went through a queue. */
export interface QueueMetrics {
  /** The driver's doorbells. */
  doorbells: number;
  /** How often chains were found without one, by polling. */
  polls: number;
  /** Chains that were given back. */
  chains: number;
  /** Interrupts to the driver. */
  interrupts: number;
  /** Frames that went through, of a network's queue. */
  frames: number;
  /** Their bytes, without virtio's header. */
  frameBytes: number;
  /** Frames that were lost on the host. */
  lostFrames: number;
}

/** Requests of one type. */
export interface RequestMetrics {
  /** Those that have ended. */
  requests: number;
  /** Bytes of data of those that went well. */
  bytes: number;
  /** Those that ended with another status than OK. */
  errors: number;
  /** Seconds that they took, all together. */
  seconds: number;
  /**
   * How many took how long: entry n, of at most 2^n microseconds, and of more
   * than 2^(n-1); the last has all others.
   */
  latencies: number[];
}

const KINDS: ReadonlyMap<number, string> = new Map(
  Object.entries(DeviceId).map(([name, id]) => [id, name.toLowerCase()]),
);

/** A block device has these from the start, and others when they come. */
const BLOCK_REQUESTS: readonly RequestType[] = ["read", "write", "flush"];

/** Reads all of a machine's. */
export function metricsOf(
  { vcpus, devices, deviceStart }: MachineParts,
): MachineMetrics {
  const memory = vcpus[0]!.start.memory
    .reduce((sum, { size }) => sum + size, 0);
  const counts = deviceStart && new Recorder(deviceStart.record).counts;
  return {
    memory,
    vcpus: vcpus.map(({ start }) => vcpuMetrics(start.record)),
    devices: devices.map(({ name, state }, index) => {
      const first = index * SUBJECT_COUNTERS;
      const own = counts!.subarray(first, first + SUBJECT_COUNTERS);
      return deviceMetrics(name, new DeviceState(state), own);
    }),
  };
}

function vcpuMetrics(page: SharedArrayBuffer): VcpuMetrics {
  const { counts } = new Recorder(page);
  const exits: Record<string, number> = {};
  for (let reason = 0; reason < EXIT_COUNTERS; reason++) {
    if (counts[reason] === 0) continue;
    exits[exitReason(reason)] = counts[reason]!;
  }
  return { exits };
}

/** Such as `mmio`. */
export function exitReason(reason: number): string {
  return exitName(reason).replace("KVM_EXIT_", "").toLowerCase();
}

/** What a device's id is called: such as `block`. */
export function deviceKind(id: number): string {
  return KINDS.get(id) ?? `virtio-${id}`;
}

function deviceMetrics(
  name: string,
  { words }: DeviceState,
  counts: Float64Array,
): DeviceMetrics {
  const kind = deviceKind(words[DeviceWord.DEVICE_ID]!);
  const queues = words[DeviceWord.QUEUE_COUNT]!;
  const [activations, resets, needsReset, throttled] = STEPS
    .map((_, step) => counts[DeviceCounter.STEPS + step]!) as [
      ...[number, number, number, number],
    ];
  const requests = REQUEST_TYPES
    .map((type, index) => [type, requestMetrics(index, counts)] as const)
    .filter(([type, { requests }]) =>
      requests > 0 || kind === "block" && BLOCK_REQUESTS.includes(type)
    );
  return {
    ...{ name, kind, activations, resets, needsReset, throttled },
    inFlight: counts[DeviceCounter.IN_FLIGHT]!,
    configInterrupts: counts[DeviceCounter.CONFIG_INTERRUPTS]!,
    queues: Array.from(
      { length: queues },
      (_, queue) => queueMetrics(queue, counts),
    ),
    requests: Object.fromEntries(requests),
  };
}

function queueMetrics(queue: number, counts: Float64Array): QueueMetrics {
  const of = (counter: number) =>
    counts[QUEUES_AT + queue * QUEUE_COUNTERS + counter]!;
  return {
    doorbells: of(QueueCounter.DOORBELLS),
    polls: of(QueueCounter.POLLS),
    chains: of(QueueCounter.CHAINS),
    interrupts: of(QueueCounter.INTERRUPTS),
    frames: of(QueueCounter.FRAMES),
    frameBytes: of(QueueCounter.FRAME_BYTES),
    lostFrames: of(QueueCounter.LOST_FRAMES),
  };
}

function requestMetrics(type: number, counts: Float64Array): RequestMetrics {
  const first = REQUESTS_AT + type * REQUEST_COUNTERS;
  const of = (counter: number) => counts[first + counter]!;
  const buckets = first + RequestCounter.BUCKETS;
  return {
    requests: of(RequestCounter.REQUESTS),
    bytes: of(RequestCounter.BYTES),
    errors: of(RequestCounter.ERRORS),
    seconds: of(RequestCounter.TIME) / 1e9,
    latencies: [...counts.subarray(buckets, buckets + LATENCY_BUCKETS)],
  };
}
