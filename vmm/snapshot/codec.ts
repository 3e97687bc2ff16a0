/**
 * Saved state as JSON, and back: every value is checked for its kind and range
 * before anything is made of it, for a file may come from anywhere.
 *
 * Bytes are base64; numbers of 64 bits are texts such as `"0x1f"`.
 *
 * @module
 */
import { VCPU_STATE_SIZES, type VcpuState } from "../../ffi/kvm/vcpu_state.ts";
import { VM_STATE_SIZES, type VmState } from "../../ffi/kvm/vm_state.ts";
import { VireoError } from "../../ffi/error.ts";
import { REGISTER_NAMES, type Registers } from "../../ffi/kvm/registers.ts";
import { MAX_VIRTIO_DEVICES } from "../../guest/layout.ts";
import type { SavedDevice } from "../../devices/virtio/device.ts";
import type { QueueState } from "../../devices/virtio/queue/queue.ts";
import { MAX_VCPUS } from "../control.ts";
import type { SavedMachine, SavedPlatform } from "./saved_machine.ts";

type Bytes = Uint8Array<ArrayBuffer>;
type Json = Record<string, unknown>;

const CPUID_HEADER = 8, CPUID_ENTRY = 40, CPUID_ENTRIES = 256;
const MSRS_MAX = 1024;
const QUEUES_MAX = 64;
/** Bytes of any one structure. */
const BYTES_MAX = 1 << 20;

/** `state` as what JSON can hold. */
export function encodeMachine(state: SavedMachine): unknown {
  return encode(state);
}

function encode(value: unknown): unknown {
  if (typeof value === "bigint") return `0x${value.toString(16)}`;
  if (value instanceof Uint8Array) return value.toBase64();
  if (Array.isArray(value)) return value.map(encode);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [name, encode(inner)]),
  );
}

/**
 * The state that {@linkcode encodeMachine} gave. The configuration in it, and
 * what is a device's own, are for others to check.
 *
 * @throws {VireoError} the first value that is none, by its place
 */
export function decodeMachine(value: unknown): SavedMachine {
  const machine = object(value, "machine");
  return {
    config: object(machine["config"], "config") as SavedMachine["config"],
    acpi: boolean(machine["acpi"], "acpi"),
    vcpus: list(machine["vcpus"], "vcpus", 1, MAX_VCPUS, decodeVcpu),
    vm: decodeVm(object(machine["vm"], "vm")),
    platform: decodePlatform(object(machine["platform"], "platform")),
    devices: list(
      machine["devices"],
      "devices",
      0,
      MAX_VIRTIO_DEVICES,
      decodeDevice,
    ),
  };
}

function decodeVcpu(value: unknown, at: string): VcpuState {
  const vcpu = object(value, at);
  const opaque = Object.entries(VCPU_STATE_SIZES).map(([name, size]) =>
    [name, bytes(vcpu[name], `${at}.${name}`, size)] as const
  );
  return {
    ...Object.fromEntries(opaque) as Omit<
      VcpuState,
      "cpuid" | "mpState" | "registers" | "msrs"
    >,
    cpuid: cpuid(vcpu["cpuid"], `${at}.cpuid`),
    mpState: integer(vcpu["mpState"], `${at}.mpState`, 0, 16),
    registers: registers(vcpu["registers"], `${at}.registers`),
    msrs: list(vcpu["msrs"], `${at}.msrs`, 0, MSRS_MAX, decodeMsr),
  };
}

/** As many entries as its header says, and room for no more. */
function cpuid(value: unknown, at: string): Bytes {
  const found = bytes(value, at);
  const entries = (found.length - CPUID_HEADER) / CPUID_ENTRY;
  const said = found.length < 4
    ? -1
    : new DataView(found.buffer).getUint32(0, true);
  if (entries === said && entries <= CPUID_ENTRIES) return found;
  throw wrong(at, "a table of CPUID");
}

function registers(value: unknown, at: string): Registers {
  const found = object(value, at);
  const all = REGISTER_NAMES.map((name) =>
    [name, wide(found[name], `${at}.${name}`)] as const
  );
  return Object.fromEntries(all) as unknown as Registers;
}

function decodeMsr(value: unknown, at: string): [number, bigint] {
  const [index, content] = list(value, at, 2, 2, (item) => item);
  return [
    integer(index, `${at}[0]`, 0, 2 ** 32 - 1),
    wide(content, `${at}[1]`),
  ];
}

function decodeVm(vm: Json): VmState {
  const { irqchip, pit, clock } = VM_STATE_SIZES;
  const irqchips = list(vm["irqchips"], "vm.irqchips", 3, 3, (item, at) => {
    return bytes(item, at, irqchip);
  });
  irqchips.forEach((chip, id) => {
    if (chip[0] !== id) throw wrong(`vm.irqchips[${id}]`, `chip ${id}`);
  });
  return {
    irqchips,
    pit: bytes(vm["pit"], "vm.pit", pit),
    clock: bytes(vm["clock"], "vm.clock", clock),
  };
}

/** Their sizes are those of the machine's. */
function decodePlatform(platform: Json): SavedPlatform {
  const { serial, rtc, bootTimer, keyboard, pci } = platform;
  return {
    serial: bytes(serial, "platform.serial"),
    rtc: bytes(rtc, "platform.rtc"),
    bootTimer: bytes(bootTimer, "platform.bootTimer"),
    ...(keyboard !== undefined &&
      { keyboard: bytes(keyboard, "platform.keyboard") }),
    ...(pci !== undefined && { pci: bytes(pci, "platform.pci") }),
  };
}

function decodeDevice(value: unknown, at: string): SavedDevice {
  const { page, pci, queues, data } = object(value, at);
  return {
    page: bytes(page, `${at}.page`),
    ...(pci !== undefined && { pci: bytes(pci, `${at}.pci`) }),
    queues: list(queues, `${at}.queues`, 0, QUEUES_MAX, decodeQueue),
    data,
  };
}

function decodeQueue(value: unknown, at: string): QueueState | null {
  if (value === null) return null;
  const queue = object(value, at);
  const number = (name: string, most: number) =>
    integer(queue[name], `${at}.${name}`, 0, most);
  const address = Number.MAX_SAFE_INTEGER;
  return {
    size: number("size", 0x8000),
    desc: number("desc", address),
    avail: number("avail", address),
    used: number("used", address),
    eventIdx: boolean(queue["eventIdx"], `${at}.eventIdx`),
    indirect: boolean(queue["indirect"], `${at}.indirect`),
    nextAvail: number("nextAvail", 0xffff),
    nextUsed: number("nextUsed", 0xffff),
  };
}

function wrong(at: string, expected: string): VireoError {
  return new VireoError(`${at}: is not ${expected}`);
}

/** An object; `at` names it. */
export function object(value: unknown, at: string): Json {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Json;
  }
  throw wrong(at, "an object");
}

/** A list whose items `item` reads. */
export function list<T>(
  value: unknown,
  at: string,
  least: number,
  most: number,
  item: (value: unknown, at: string) => T,
): T[] {
  if (
    Array.isArray(value) && value.length >= least && value.length <= most
  ) return value.map((inner, i) => item(inner, `${at}[${i}]`));
  throw wrong(at, `a list of ${least} to ${most}`);
}

/** A whole number. */
export function integer(
  value: unknown,
  at: string,
  least: number,
  most: number,
): number {
  if (
    typeof value === "number" && Number.isInteger(value) && value >= least &&
    value <= most
  ) return value;
  throw wrong(at, `a whole number from ${least} to ${most}`);
}

function boolean(value: unknown, at: string): boolean {
  if (typeof value === "boolean") return value;
  throw wrong(at, "true or false");
}

function wide(value: unknown, at: string): bigint {
  if (typeof value === "string" && /^0x[0-9a-f]{1,16}$/.test(value)) {
    return BigInt(value);
  }
  throw wrong(at, "a number of 64 bits, as 0x1f is");
}

function bytes(value: unknown, at: string, size?: number): Bytes {
  const expected = size === undefined ? "bytes" : `${size} bytes`;
  if (typeof value !== "string" || value.length > 2 * BYTES_MAX) {
    throw wrong(at, `${expected} in base64`);
  }
  try {
    const found = Uint8Array.fromBase64(value);
    if (size === undefined || found.length === size) return found;
  } catch { /* below */ }
  throw wrong(at, `${expected} in base64`);
}
