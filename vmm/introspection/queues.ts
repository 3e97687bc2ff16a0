/**
 * Virtio devices and their queues as data, read from what they share with the
 * driver: nothing of it is asked of the devices.
 *
 * @module
 */
import {
  DeviceState,
  DeviceWord,
  QueueWord,
} from "../../devices/virtio/transport/device_state.ts";
import {
  DeviceId,
  Feature,
  Interrupt,
  Status,
} from "../../devices/virtio/spec.ts";
import { DESC_SIZE, DescFlag } from "../../devices/virtio/queue/queue.ts";
import type { GuestMemory } from "../../guest/memory.ts";
import type { DeviceSpec } from "../messages.ts";

/** A descriptor of a request (§2.7.5). */
export interface DescriptorReport {
  /** Guest physical address. */
  address: number;
  /** Bytes. */
  length: number;
  /** The device writes there. */
  writable: boolean;
  /** A table of descriptors is there. */
  indirect: boolean;
}

/** A request that the driver has made. */
export interface RequestReport {
  /** The number of its first descriptor. */
  head: number;
  /** What the chain leads through; a broken one ends early. */
  descriptors: DescriptorReport[];
}

/** A queue that the driver has set up. */
export interface QueueReport {
  /** Its number. */
  index: number;
  /** Entries. */
  size: number;
  /** The driver has let it begin. */
  ready: boolean;
  /** Of its ring. */
  format: "split" | "packed";
  /** Guest physical addresses of its three areas (§2.6). */
  descriptors: number;
  /** The driver's area: the available ring. */
  driver: number;
  /** The device's area: the used ring. */
  device: number;
  /** Of a split ring: the driver's index; undefined when it isn't in RAM. */
  available?: number;
  /** Of a split ring: the device's index. */
  used?: number;
  /**
   * Of a split ring: requests that are not completed, as the rings' indexes
   * say. A device that completes them out of order may be at others.
   */
  requests: RequestReport[];
}

/** A virtio device. */
export interface DeviceReport {
  /** What the configuration calls it. */
  name: string;
  /** Its kind, by its virtio device ID. */
  kind: string;
  /** The device status (§2.1), in words. */
  status: string[];
  /** Numbers of the feature bits that the driver has accepted. */
  features: number[];
  /**
   * InterruptStatus (§4.2.2): what the driver has not acknowledged. Of used
   * buffers that is not known where registers are mapped: their bit is 0 then.
   */
  interruptStatus: number;
  /** Guest physical address of its window; over PCI it has none. */
  window?: number;
  /** Its interrupt. */
  gsi: number;
  /** Those that the driver has set up. */
  queues: QueueReport[];
}

/** The most requests of a queue that are followed. */
const REQUESTS_MAX = 64;
const FEATURE_BITS = 64;
const RING_HEADER = 4;

/** What all devices share with their drivers. */
export function deviceReports(
  devices: readonly DeviceSpec[],
  memory: GuestMemory,
): DeviceReport[] {
  return devices.map((spec) => {
    const state = new DeviceState(spec.state);
    const bits = Array.from({ length: FEATURE_BITS }, (_, bit) => bit);
    const count = state.words[DeviceWord.QUEUE_COUNT]!;
    const queues = Array.from({ length: count }, (_, index) => index)
      .filter((index) => state.queue(index, QueueWord.SIZE) > 0)
      .map((index) => queueReport(state, index, memory));
    return {
      name: spec.name,
      kind: nameIn(DeviceId, state.words[DeviceWord.DEVICE_ID]!),
      status: Object.entries(Status)
        .filter(([, bit]) => state.status & bit).map(([name]) => name),
      features: bits.filter((bit) => state.hasFeature(bit)),
      interruptStatus: unacknowledged(state),
      ...(spec.pci === undefined && { window: spec.window }),
      gsi: spec.gsi,
      queues,
    };
  });
}

function unacknowledged({ words }: DeviceState): number {
  const unseen = words[DeviceWord.UNSEEN_ACK] === 0 ? 0 : Interrupt.USED_BUFFER;
  return words[DeviceWord.INTERRUPT_STATUS]! & ~unseen;
}

function nameIn(names: Record<string, number>, value: number): string {
  const found = Object.entries(names).find(([, id]) => id === value);
  return found ? found[0].toLowerCase() : `device ${value}`;
}

function queueReport(
  state: DeviceState,
  index: number,
  memory: GuestMemory,
): QueueReport {
  const report: QueueReport = {
    index,
    size: state.queue(index, QueueWord.SIZE),
    ready: state.queue(index, QueueWord.READY) === 1,
    format: state.hasFeature(Feature.RING_PACKED) ? "packed" : "split",
    descriptors: state.queueAddress(index, QueueWord.DESC),
    driver: state.queueAddress(index, QueueWord.DRIVER),
    device: state.queueAddress(index, QueueWord.DEVICE),
    requests: [],
  };
  if (report.ready && report.format === "split") readSplit(report, memory);
  return report;
}

/** §2.7: the indexes, and what lies between them. */
function readSplit(report: QueueReport, memory: GuestMemory): void {
  const { size, driver, device } = report;
  const available = word16(memory, driver + 2);
  const used = word16(memory, device + 2);
  if (available === undefined || used === undefined) return;
  report.available = available;
  report.used = used;
  const open = Math.min(available - used & 0xffff, size, REQUESTS_MAX);
  for (let i = 0; i < open; i++) {
    const slot = (used + i & 0xffff) % size;
    const head = word16(memory, driver + RING_HEADER + 2 * slot);
    if (head === undefined) return;
    const descriptors = chainFrom(head, report, memory);
    report.requests.push({ head, descriptors });
  }
}

function chainFrom(
  head: number,
  { size, descriptors }: QueueReport,
  memory: GuestMemory,
): DescriptorReport[] {
  const found: DescriptorReport[] = [];
  for (let next = head; next < size && found.length < size;) {
    const at = descriptors + next * DESC_SIZE;
    if (memory.find(at, DESC_SIZE) === undefined) break;
    const view = memory.view(at, DESC_SIZE);
    const flags = view.getUint16(12, true);
    found.push({
      address: Number(view.getBigUint64(0, true)),
      length: view.getUint32(8, true),
      writable: (flags & DescFlag.WRITE) !== 0,
      indirect: (flags & DescFlag.INDIRECT) !== 0,
    });
    if (!(flags & DescFlag.NEXT)) break;
    next = view.getUint16(14, true);
  }
  return found;
}

function word16(memory: GuestMemory, address: number): number | undefined {
  if (memory.find(address, 2) === undefined) return undefined;
  return memory.view(address, 2).getUint16(0, true);
}
