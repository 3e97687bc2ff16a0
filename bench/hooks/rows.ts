/**
 * What is compared: the same work of the payload's without a hook and with it.
 *
 * @module
 */
import type { FaultRule, VmConfig } from "../../mod.ts";

/** Devices of one side; the payload's words. */
export interface Side {
  /** Keys of the configuration. */
  devices: Partial<VmConfig>;
  /** Words of the payload's own for this side. */
  words?: string;
  /** Somebody reads the machine's trace. */
  traced?: boolean;
}

/** A hook. */
export interface Row {
  /** For readers. */
  hook: string;
  /** What is counted. */
  unit: "read" | "request" | "frame";
  /** The payload's words for both. */
  words: string;
  /** Without and with it. */
  off: Side;
  on: Side;
}

const url = (name: string) => import.meta.resolve(`./${name}.ts`);
const NEVER: FaultRule = { on: "read", effect: "error", nth: 1e15 };
const NEVER_SENT: FaultRule = { on: "send", effect: "drop", nth: 1e15 };

/** All rows, for a disk image and a capture that may be written. */
export function hooks(path: string, pcap: string): Row[] {
  const drive = { drive_id: "d", is_root_device: false };
  const file = { ...drive, path_on_host: path };
  const disk: Side = { devices: { drives: [file] } };
  const net = { iface_id: "eth0", handler: url("sink") };
  const network: Side = { devices: { "network-interfaces": [net] } };
  const register = (thread: "vcpu" | "device"): Side => ({
    devices: {
      "bus-devices": [{
        ...{ module: url("register"), port: 1, address: 0x300, thread },
      }],
    },
    words: "port=0x300",
  });
  const com1: Side = { devices: {}, words: "port=0x3fd" };
  const faults = (...rules: FaultRule[]) => ({ faults: { rules } });
  const reads = { unit: "read", words: "bench=pio-read" } as const;
  const requests = {
    unit: "request",
    words: "bench=blk-randread wait=irq",
  } as const;
  const frames = { unit: "frame", words: "bench=net-tx qd=32" } as const;
  return [
    { ...reads, hook: "the same once more", off: com1, on: com1 },
    {
      ...reads,
      hook: "plain device on the vCPU, beside COM1",
      off: com1,
      on: register("vcpu"),
    },
    {
      ...reads,
      hook: "plain device on the device worker, beside COM1",
      off: com1,
      on: register("device"),
    },
    {
      ...reads,
      hook: "trace of exits",
      off: com1,
      on: { ...com1, traced: true },
    },
    { ...requests, hook: "the same once more", off: disk, on: disk },
    {
      ...requests,
      hook: "virtio device of one's own, beside the built-in",
      off: disk,
      on: {
        devices: { devices: [{ module: url("own_disk"), options: { path } }] },
      },
    },
    {
      ...requests,
      hook: "disk on a module, beside an image",
      off: disk,
      on: { devices: { drives: [{ ...drive, backend: url("zeros") }] } },
    },
    {
      ...requests,
      hook: "a module elsewhere in the machine",
      off: disk,
      on: { devices: { ...disk.devices, ...register("device").devices } },
    },
    {
      ...requests,
      hook: "faults, without a rule",
      off: disk,
      on: { devices: { drives: [{ ...file, ...faults() }] } },
    },
    {
      ...requests,
      hook: "faults, with a rule that never fits",
      off: disk,
      on: { devices: { drives: [{ ...file, ...faults(NEVER) }] } },
    },
    {
      ...requests,
      hook: "trace of everything",
      off: disk,
      on: { ...disk, traced: true },
    },
    { ...frames, hook: "the same once more", off: network, on: network },
    {
      ...frames,
      hook: "faults, with a rule that never fits",
      off: network,
      on: {
        devices: { "network-interfaces": [{ ...net, ...faults(NEVER_SENT) }] },
      },
    },
    {
      ...frames,
      hook: "capture",
      off: network,
      on: { devices: { "network-interfaces": [{ ...net, pcap }] } },
    },
  ];
}
