/**
 * The state of a paused machine as plain data, and as text.
 *
 * @module
 */
import { REGISTER_NAMES, type Registers } from "../../ffi/kvm/registers.ts";
import type { KernelSymbols } from "../../guest/kernel/symbols.ts";
import type { MachineView } from "./machine_view.ts";
import type { DeviceReport, QueueReport } from "./queues.ts";
import type { VcpuActivity, VcpuView } from "./vcpu_view.ts";

/** A vCPU. */
export interface VcpuReport {
  /** Its number. */
  id: number;
  /** What it does when it isn't stopped. */
  activity: VcpuActivity;
  /** Its privilege level. */
  cpl: number;
  /** General registers, RIP, RFLAGS. */
  registers: Registers;
  /** Where RIP is, as `start_kernel+0x10`; undefined: symbols don't say. */
  symbol?: string;
  /** Selectors and bases of the segment registers. */
  segments: Record<string, { selector: number; base: bigint }>;
  /** CR0 to CR8, EFER. */
  control: Record<string, bigint>;
}

/** A machine; as a string, what a person reads. */
export interface MachineReport {
  /** Its RAM, lowest address first. */
  memory: { address: number; size: number }[];
  /** Its vCPUs. */
  vcpus: VcpuReport[];
  /** Its virtio devices. */
  devices: DeviceReport[];
  /** The text. */
  toString(): string;
}

const SEGMENTS = ["cs", "ss", "ds", "es", "fs", "gs", "tr"] as const;
const CONTROL = ["cr0", "cr2", "cr3", "cr4", "cr8", "efer"] as const;
const PER_LINE = 3;

/** The state of the machine that is looked at. */
export function reportOf(
  view: MachineView,
  symbols?: KernelSymbols,
): MachineReport {
  const report: MachineReport = {
    memory: view.memory.regions.map(({ guestAddress, size }) => ({
      address: guestAddress,
      size,
    })),
    vcpus: view.vcpus.map((vcpu) => vcpuReport(vcpu, symbols)),
    devices: view.devices(),
  };
  // Neither is data: a report can be compared and made JSON.
  const toString = () => stateText(report);
  const print = Symbol.for("Deno.customInspect");
  const hidden = { enumerable: false };
  return Object.defineProperties(report, {
    toString: { value: toString, ...hidden },
    [print]: { value: toString, ...hidden },
  });
}

function vcpuReport(vcpu: VcpuView, symbols?: KernelSymbols): VcpuReport {
  const { special, registers } = vcpu;
  const near = symbols?.near(registers.rip);
  return {
    id: vcpu.id,
    activity: vcpu.activity,
    cpl: vcpu.cpl,
    registers,
    ...(near && { symbol: `${near.name}+${hex(near.offset)}` }),
    segments: Object.fromEntries(SEGMENTS.map((name) => {
      const { selector, base } = special.segment(name);
      return [name, { selector, base }];
    })),
    control: Object.fromEntries(
      CONTROL.map((name) => [name, special.control(name)]),
    ),
  };
}

/** A report for people. */
export function stateText(report: MachineReport): string {
  const memory = report.memory.map(({ address, size }) =>
    `RAM ${hex(address)} to ${hex(address + size - 1)}`
  );
  return [
    ...memory,
    ...report.vcpus.map(vcpuText),
    ...report.devices.map(deviceText),
  ].join("\n");
}

/** A vCPU for people: some lines. */
export function vcpuText(vcpu: VcpuReport): string {
  const { id, activity, cpl, registers, segments, control } = vcpu;
  const general = REGISTER_NAMES.map((name) => cell(name, registers[name]));
  const controls = Object.entries(control)
    .map(([name, value]) => cell(name, value));
  const selectors = Object.entries(segments).map(([name, { selector, base }]) =>
    `${name} ${selector.toString(16).padStart(4, "0")}` +
    (base === 0n ? "" : ` (${hex(base)})`)
  );
  return [
    `vCPU ${id}: ${activity}, CPL ${cpl}${
      vcpu.symbol ? `, at ${vcpu.symbol}` : ""
    }`,
    ...inRows(general),
    ...inRows(controls),
    `  ${selectors.join("  ")}`,
  ].join("\n");
}

/** A device for people: a line, and some for each queue. */
export function deviceText(device: DeviceReport): string {
  const { name, kind, status, window, gsi, queues, interruptStatus } = device;
  const where = window === undefined ? "PCI" : `at ${hex(window)}`;
  const state = status.join(" ") || "reset";
  const pending = interruptStatus === 0
    ? ""
    : `, interrupt status ${interruptStatus}`;
  return [
    `${kind} "${name}" ${where}, GSI ${gsi}: ${state}${pending}`,
    ...queues.map(queueText),
  ].join("\n");
}

function queueText(queue: QueueReport): string {
  const { index, size, format, descriptors, driver, device } = queue;
  const indexes = queue.available === undefined
    ? queue.ready ? "" : ", not ready"
    : `, available ${queue.available}, used ${queue.used}`;
  const areas = [descriptors, driver, device].map(hex).join(" ");
  const line = `  queue ${index}: ${format}, ${size} at ${areas}${indexes}`;
  const requests = queue.requests.map(({ head, descriptors }) => {
    const parts = descriptors.map(({ address, length, writable, indirect }) =>
      `${hex(address)}+${length}${indirect ? " table" : writable ? " w" : " r"}`
    );
    return `    ${head}: ${parts.join(", ")}`;
  });
  return [line, ...requests].join("\n");
}

function cell(name: string, value: bigint): string {
  return `${name.padEnd(6)} ${value.toString(16).padStart(16, "0")}`;
}

function inRows(cells: readonly string[]): string[] {
  const rows: string[] = [];
  for (let i = 0; i < cells.length; i += PER_LINE) {
    rows.push(`  ${cells.slice(i, i + PER_LINE).join("  ")}`);
  }
  return rows;
}

function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}
