/**
 * `vireo snapshot`: what is in a snapshot, and whether it is whole.
 *
 * @module
 */
import { VireoError } from "../ffi/error.ts";
import { MiB } from "../guest/layout.ts";
import { didYouMean } from "../vmm/devices/words.ts";
import { describeFolder, verifyFolder } from "../vmm/snapshot/mod.ts";

/** What can be done with one. */
export const SNAPSHOT_ACTIONS = ["inspect", "verify"] as const;

/**
 * Carries `action` out.
 *
 * @returns what to print
 * @throws {VireoError} there is no snapshot, or it is damaged; no such action
 */
export function snapshotCommand(action: string, folder: string): string {
  switch (action) {
    case "inspect":
      return inspect(folder);
    case "verify":
      verifyFolder(folder);
      return `${folder}: whole`;
  }
  const near = didYouMean(action, [...SNAPSHOT_ACTIONS]);
  throw new VireoError(
    `snapshot ${action}: not one of ${SNAPSHOT_ACTIONS.join(", ")}${near}`,
  );
}

function inspect(folder: string): string {
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
