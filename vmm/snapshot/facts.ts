/**
 * What is in a snapshot, as facts with names: to be read, and to be compared.
 *
 * @module
 */
import { DeviceWord } from "../../devices/virtio/transport/device_state.ts";
import type { SavedDevice } from "../../devices/virtio/device.ts";
import { DeviceId, Status } from "../../devices/virtio/spec.ts";
import { REGISTER_NAMES, SpecialRegisters } from "../../ffi/kvm/registers.ts";
import type { VcpuState } from "../../ffi/kvm/vcpu_state.ts";
import type { SavedMachine } from "./saved_machine.ts";

/** A part of a machine: what it is at a glance, and the details. */
export interface Facts {
  /** Such as `vCPU 0`. */
  part: string;
  /** In a line. */
  summary: string;
  /** Names and values. */
  details: [name: string, value: string][];
}

/** `KVM_MP_STATE_*`. */
const MP_STATES: Record<number, string> = {
  0: "runs",
  1: "not started",
  2: "waits for SIPI",
  3: "halted",
};
const CONTROLS = ["cr0", "cr2", "cr3", "cr4", "efer"] as const;
const KINDS: Record<number, string> = {
  [DeviceId.NET]: "network",
  [DeviceId.BLOCK]: "disk",
  [DeviceId.CONSOLE]: "console",
  [DeviceId.ENTROPY]: "entropy",
  [DeviceId.BALLOON]: "balloon",
  [DeviceId.VSOCK]: "vsock",
};

/** The parts of a saved machine: vCPUs, devices, configuration. */
export function factsOf(machine: SavedMachine): Facts[] {
  return [
    ...machine.vcpus.map(vcpuFacts),
    ...machine.devices.map(deviceFacts),
    {
      part: "configuration",
      summary: "",
      details: flat(machine.config, ""),
    },
  ];
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}

function vcpuFacts(vcpu: VcpuState, id: number): Facts {
  const { mpState, registers, msrs } = vcpu;
  const special = new SpecialRegisters();
  special.bytes.set(vcpu.sregs);
  const { rip, rsp } = registers;
  return {
    part: `vCPU ${id}`,
    summary: `${MP_STATES[mpState] ?? `state ${mpState}`}, rip ${hex(rip)}, ` +
      `rsp ${hex(rsp)}, CPL ${special.segment("ss").dpl}`,
    details: [
      ...REGISTER_NAMES.map((name): [string, string] => [
        name,
        hex(registers[name]),
      ]),
      ...CONTROLS.map((name): [string, string] => [
        name,
        hex(special.control(name)),
      ]),
      ...msrs.map(([index, value]): [string, string] => [
        `MSR ${index.toString(16)}`,
        hex(value),
      ]),
    ],
  };
}

function deviceFacts({ page, queues }: SavedDevice, index: number): Facts {
  const word = (at: number) =>
    page.length < 4 * (at + 1)
      ? 0
      : new DataView(page.buffer, page.byteOffset).getUint32(4 * at, true);
  const id = word(DeviceWord.DEVICE_ID);
  const live = queues.filter((queue) => queue !== null).length;
  return {
    part: `device ${index}`,
    summary: `${live} of ${queues.length} queues live`,
    details: [
      ["kind", KINDS[id] ?? `virtio device ${id}`],
      ["driver", driver(word(DeviceWord.STATUS))],
      ...queues.map((queue, i): [string, string] => [
        `queue ${i}`,
        queue === null
          ? "unused"
          : `${queue.size} entries, ${queue.nextAvail} taken, ` +
            `${queue.nextUsed} given back (modulo 65536)`,
      ]),
    ],
  };
}

function driver(status: number): string {
  if (status & Status.FAILED) return "failed";
  if (status & Status.DEVICE_NEEDS_RESET) return "has to reset it";
  if (status & Status.DRIVER_OK) return "works";
  return status === 0 ? "none" : "begins";
}

/** Each value with its path: `drives[0].path_on_host`. */
function flat(value: unknown, path: string): [string, string][] {
  if (Array.isArray(value)) {
    return value.flatMap((item, i) => flat(item, `${path}[${i}]`));
  }
  if (typeof value !== "object" || value === null) {
    return value === undefined ? [] : [[path, JSON.stringify(value)]];
  }
  return Object.entries(value).flatMap(([key, inner]) =>
    flat(inner, path === "" ? key : `${path}.${key}`)
  );
}
