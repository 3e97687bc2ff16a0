/**
 * `vireo snapshot inspect`: what is in a snapshot.
 *
 * @module
 */
import { MiB } from "../../guest/layout.ts";
import { describeFolder } from "../../vmm/snapshot/mod.ts";

/**
 * What is in a snapshot, as a person asks for it.
 *
 * @returns what to print
 * @throws {VireoError} there is none, or it is damaged
 */
export function inspect(folder: string): string {
  const { saved, machine, memory } = describeFolder(folder);
  const mib = (bytes: number) => `${(bytes / MiB).toFixed(1)} MiB`;
  const rows: [string, string][] = [
    ["saved", saved],
    ["memory", `${mib(memory.size)}, ${mib(memory.onDisk)} on disk`],
    ["devices by", machine.acpi ? "ACPI" : "command line"],
  ];
  machine.vcpus.forEach(({ mpState, registers: { rip, rsp } }, id) => {
    const at = `rip 0x${rip.toString(16)}, rsp 0x${rsp.toString(16)}`;
    rows.push([
      `vCPU ${id}`,
      `${STATES[mpState] ?? `state ${mpState}`}, ${at}`,
    ]);
  });
  machine.devices.forEach(({ queues }, index) => {
    const live = queues.filter((queue) => queue !== null).length;
    rows.push([`device ${index}`, `${live} of ${queues.length} queues live`]);
  });
  rows.push(["configuration", JSON.stringify(machine.config)]);
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`)
    .join("\n");
}

/** `KVM_MP_STATE_*`. */
const STATES: Record<number, string> = {
  0: "runs",
  1: "not started",
  2: "waits for SIPI",
  3: "halted",
};
