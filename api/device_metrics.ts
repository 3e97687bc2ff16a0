/**
 * A machine's counters under the names that readers of Firecracker's metrics
 * know: what was counted since the last line, of each device and of all of a
 * kind.
 *
 * @module
 */
import type { DeviceMetrics, MachineMetrics } from "../vmm/trace/metrics.ts";

/** Counters by name. */
type Counts = Record<string, number>;
/** Counters of `block`, `block_rootfs`, `net`, ... */
export type Groups = Record<string, Counts>;

const KINDS: Record<string, (device: DeviceMetrics) => Counts> = {
  block: ({ requests, queues, throttled }) => ({
    read_bytes: requests.read?.bytes ?? 0,
    write_bytes: requests.write?.bytes ?? 0,
    read_count: requests.read?.requests ?? 0,
    write_count: requests.write?.requests ?? 0,
    flush_count: requests.flush?.requests ?? 0,
    queue_event_count: sum(queues.map(({ doorbells }) => doorbells)),
    execute_fails: sum(Object.values(requests).map(({ errors }) => errors)),
    rate_limiter_throttled_events: throttled,
  }),
  net: ({ queues }) => {
    // Pairs of them, and one for commands.
    const rx = queues.slice(0, -1).filter((_, index) => index % 2 === 0);
    const tx = queues.filter((_, index) => index % 2 === 1);
    return {
      rx_bytes_count: sum(rx.map(({ frameBytes }) => frameBytes)),
      rx_packets_count: sum(rx.map(({ frames }) => frames)),
      rx_count: sum(rx.map(({ frames }) => frames)),
      rx_queue_event_count: sum(rx.map(({ doorbells }) => doorbells)),
      tx_bytes_count: sum(tx.map(({ frameBytes }) => frameBytes)),
      tx_packets_count: sum(tx.map(({ frames }) => frames)),
      tx_count: sum(tx.map(({ frames }) => frames)),
      tx_fails: sum(tx.map(({ lostFrames }) => lostFrames)),
      tx_queue_event_count: sum(tx.map(({ doorbells }) => doorbells)),
    };
  },
};

/** Devices of which there is one: its group has no name behind it. */
const SINGLE: typeof KINDS = {
  balloon: ({ queues }) => ({
    inflate_count: queues[0]?.chains ?? 0,
    deflate_count: queues[1]?.chains ?? 0,
    stats_updates_count: queues[2]?.chains ?? 0,
  }),
  vsock: ({ queues: [rx, tx] }) => ({
    rx_queue_event_count: rx?.doorbells ?? 0,
    rx_packets_count: rx?.chains ?? 0,
    tx_queue_event_count: tx?.doorbells ?? 0,
    tx_packets_count: tx?.chains ?? 0,
  }),
  entropy: ({ queues, throttled }) => ({
    entropy_event_count: sum(queues.map(({ chains }) => chains)),
    entropy_rate_limiter_throttled: throttled,
  }),
};

/** What all devices have counted since the machine's start. */
export function deviceGroups({ devices }: MachineMetrics): Groups {
  const groups: Groups = {};
  for (const device of devices) {
    const single = SINGLE[device.kind]?.(device);
    if (single !== undefined) groups[device.kind] = single;
    const counts = KINDS[device.kind]?.(device);
    if (counts === undefined) continue;
    groups[`${device.kind}_${device.name}`] = counts;
    const all = groups[device.kind] ??= {};
    for (const [name, value] of Object.entries(counts)) {
      all[name] = (all[name] ?? 0) + value;
    }
  }
  return groups;
}

/** What has come since. */
export function since(now: Groups, before: Groups): Groups {
  return Object.fromEntries(
    Object.entries(now).map(([group, counts]) => [
      group,
      Object.fromEntries(
        Object.entries(counts).map(([name, value]) => [
          name,
          value - (before[group]?.[name] ?? 0),
        ]),
      ),
    ]),
  );
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}
