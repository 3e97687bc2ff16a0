/**
 * How fast a machine does what it does: the difference of two looks at its
 * metrics.
 *
 * @module
 */
import type {
  DeviceMetrics,
  MachineMetrics,
  RequestMetrics,
} from "../../vmm/trace/metrics.ts";

/** What a machine does in a second. */
export interface MachineRates {
  /** Exits of all vCPUs. */
  exits: number;
  /** The same of each, by reason, most first. */
  vcpus: [reason: string, rate: number][][];
  /** Each device. */
  devices: DeviceRates[];
}

/** What a device does in a second. */
export interface DeviceRates {
  /** Its name. */
  name: string;
  /** What it is. */
  kind: string;
  /** Doorbells of all queues. */
  doorbells: number;
  /** Interrupts of all queues. */
  interrupts: number;
  /** Requests, or chains of a device that has none. */
  operations: number;
  /** Bytes that the guest has read or received. */
  read: number;
  /** Bytes that it has written or sent. */
  written: number;
  /** Requests that failed, and frames that were lost. */
  errors: number;
  /** Requests that are in flight now. */
  inFlight: number;
  /** Seconds that 99 of 100 requests stayed below; undefined: there was none. */
  latency: number | undefined;
}

/**
 * The rates between two looks.
 *
 * @param seconds between them, above 0
 */
export function ratesBetween(
  before: MachineMetrics,
  after: MachineMetrics,
  seconds: number,
): MachineRates {
  const vcpus = after.vcpus.map(({ exits }, id) =>
    Object.entries(exits)
      .map(([reason, count]): [string, number] => [
        reason,
        (count - (before.vcpus[id]?.exits[reason] ?? 0)) / seconds,
      ])
      .filter(([, rate]) => rate > 0)
      .sort(([, a], [, b]) => b - a)
  );
  return {
    exits: sum(vcpus.flat().map(([, rate]) => rate)),
    vcpus,
    devices: after.devices.map((device, index) =>
      deviceRates(before.devices[index], device, seconds)
    ),
  };
}

function deviceRates(
  before: DeviceMetrics | undefined,
  after: DeviceMetrics,
  seconds: number,
): DeviceRates {
  const rate = (of: (device: DeviceMetrics) => number) =>
    (of(after) - (before ? of(before) : 0)) / seconds;
  const queues = (key: "doorbells" | "interrupts" | "lostFrames") =>
    rate(({ queues }) => sum(queues.map((queue) => queue[key])));
  const all = (key: "requests" | "errors") =>
    rate(({ requests }) => sum(Object.values(requests).map((one) => one[key])));
  const bytes = (type: "read" | "write", first: number) =>
    rate(({ requests, queues }) =>
      (requests[type]?.bytes ?? 0) +
      // Even queues of a network receive (virtio 1.2 §5.1.2).
      sum(
        queues.filter((_, queue) => queue % 2 === first)
          .map(({ frameBytes }) => frameBytes),
      )
    );
  const hasRequests = Object.keys(after.requests).length > 0;
  return {
    ...{ name: after.name, kind: after.kind, inFlight: after.inFlight },
    doorbells: queues("doorbells"),
    interrupts: queues("interrupts"),
    operations: hasRequests
      ? all("requests")
      : rate(({ queues }) => sum(queues.map(({ chains }) => chains))),
    read: bytes("read", 0),
    written: bytes("write", 1),
    errors: all("errors") + queues("lostFrames"),
    latency: latency(before?.requests ?? {}, after.requests),
  };
}

/** The upper end of the bucket that the 99th of 100 is in. */
function latency(
  before: Record<string, RequestMetrics>,
  after: Record<string, RequestMetrics>,
): number | undefined {
  const counts: number[] = [];
  for (const [type, { latencies }] of Object.entries(after)) {
    latencies.forEach((count, bucket) => {
      const past = before[type]?.latencies[bucket] ?? 0;
      counts[bucket] = (counts[bucket] ?? 0) + count - past;
    });
  }
  let left = Math.ceil(sum(counts) * 0.99);
  if (left <= 0) return undefined;
  const bucket = counts.findIndex((count) => (left -= count) <= 0);
  return bucket === counts.length - 1 ? Infinity : 2 ** bucket / 1e6;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
