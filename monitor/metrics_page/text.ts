/**
 * A machine's metrics in Prometheus' text format. Names, and the units in them,
 * follow https://prometheus.io/docs/practices/naming/.
 *
 * @module
 */
import { AggregatorRegistry } from "prom-client";
import type {
  DeviceMetrics,
  MachineMetrics,
  QueueMetrics,
  RequestMetrics,
} from "../../vmm/trace/metrics.ts";

type Labels = Record<string, string | number>;

interface Value {
  metricName?: string;
  labels: Labels;
  value: number;
}

interface Family {
  name: string;
  help: string;
  type: "counter" | "gauge" | "histogram";
  values: Value[];
  aggregator: "sum";
}

/** Counters of a queue: what each is called, and says. */
const QUEUE = [
  ["doorbells", "doorbells", "Doorbells that the driver rang."],
  ["polls", "polls", "Times that work was found without a doorbell."],
  ["chains", "chains", "Descriptor chains given back to the driver."],
  ["interrupts", "interrupts", "Interrupts raised for the queue."],
] as const satisfies readonly [keyof QueueMetrics, string, string][];

/** The same of a network's queues. */
const NETWORK = [
  ["frames", "frames", "Frames that went through."],
  ["frameBytes", "bytes", "Bytes of these frames."],
  ["lostFrames", "lost_frames", "Frames that were lost on the host."],
] as const satisfies readonly [keyof QueueMetrics, string, string][];

/** Counters of a device. */
const DEVICE = [
  ["activations", "activations", "Times that a driver took it into use."],
  ["resets", "resets", "Times that a driver reset it."],
  ["needsReset", "failures", "Times that it could not go on without a reset."],
  ["throttled", "throttles", "Times that its rate limits held it back."],
  [
    "configInterrupts",
    "config_interrupts",
    "Interrupts for a change of its configuration.",
  ],
] as const satisfies readonly [keyof DeviceMetrics, string, string][];

/** What a scrape gets. */
export async function prometheusText(metrics: MachineMetrics): Promise<string> {
  const registry = AggregatorRegistry.aggregate([families(metrics)]);
  return await registry.metrics();
}

function families({ memory, vcpus, devices }: MachineMetrics): Family[] {
  const queues = devices.flatMap((device) =>
    device.queues.map((queue, index) => ({ device, queue, index }))
  );
  const frames = queues.filter(({ device, index }) =>
    // The last of an odd number is the control queue (virtio 1.2 §5.1.2).
    device.kind === "net" && index < (device.queues.length & ~1)
  );
  const requests = devices.flatMap(({ name, requests }) =>
    Object.entries(requests).map(([type, request]) => ({
      labels: { device: name, type },
      request,
    }))
  );
  return [
    gauge("guest_memory_bytes", "Memory that the guest has.", [
      { labels: {}, value: memory },
    ]),
    counter(
      "vcpu_exits_total",
      "Exits of a vCPU to the VMM by KVM's reason.",
      vcpus.flatMap(({ exits }, vcpu) =>
        Object.entries(exits).map(([reason, value]) => ({
          labels: { vcpu, reason },
          value,
        }))
      ),
    ),
    gauge(
      "device_info",
      "The devices; always 1.",
      devices.map(({ name, kind }) => ({
        labels: { device: name, kind },
        value: 1,
      })),
    ),
    ...DEVICE.map(([key, name, help]) =>
      counter(
        `device_${name}_total`,
        help,
        devices.map((device) => ({
          labels: { device: device.name },
          value: device[key],
        })),
      )
    ),
    ...QUEUE.map(([key, name, help]) =>
      counter(
        `queue_${name}_total`,
        help,
        queues.map(({ device, queue, index }) => ({
          labels: { device: device.name, queue: index },
          value: queue[key],
        })),
      )
    ),
    ...NETWORK.map(([key, name, help]) =>
      counter(
        `network_${name}_total`,
        help,
        frames.map(({ device, queue, index }) => ({
          labels: {
            device: device.name,
            queue: index,
            direction: index % 2 === 0 ? "receive" : "transmit",
          },
          value: queue[key],
        })),
      )
    ),
    gauge(
      "requests_in_flight",
      "Requests that have begun and not ended.",
      devices.filter(({ requests }) => Object.keys(requests).length > 0)
        .map(({ name, inFlight }) => ({
          labels: { device: name },
          value: inFlight,
        })),
    ),
    counter(
      "request_bytes_total",
      "Bytes of data of requests that went well.",
      requests.map(({ labels, request }) => ({ labels, value: request.bytes })),
    ),
    counter(
      "request_errors_total",
      "Requests that ended with another status than OK.",
      requests.map(({ labels, request }) => ({
        labels,
        value: request.errors,
      })),
    ),
    {
      name: "vireo_request_duration_seconds",
      help: "Time from a request's start to its end.",
      type: "histogram",
      values: requests.flatMap(({ labels, request }) =>
        histogram("vireo_request_duration_seconds", labels, request)
      ),
      aggregator: "sum",
    },
  ];
}

function counter(name: string, help: string, values: Value[]): Family {
  return {
    ...{ name: `vireo_${name}`, help, values },
    ...{ type: "counter", aggregator: "sum" },
  };
}

function gauge(name: string, help: string, values: Value[]): Family {
  return { ...counter(name, help, values), type: "gauge" };
}

/** Each bucket counts what is in those below it, too. */
function histogram(
  name: string,
  labels: Labels,
  { requests, seconds, latencies }: RequestMetrics,
): Value[] {
  let sum = 0;
  const buckets = latencies.map((count, bucket) => ({
    metricName: `${name}_bucket`,
    labels: {
      ...labels,
      le: bucket === latencies.length - 1 ? "+Inf" : 2 ** bucket / 1e6,
    },
    value: sum += count,
  }));
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: seconds },
    { metricName: `${name}_count`, labels, value: Math.min(requests, sum) },
  ];
}
