/**
 * Checks a configuration: each key by its rule, then what must fit together.
 * It is the only check, for files, programs and the command line.
 *
 * @module
 */
import { MAX_PORTS } from "../../devices/virtio/console/console.ts";
import { MAX_VIRTIO_DEVICES } from "../../guest/layout.ts";
import { CONFIG_FILE, MACHINE } from "./keys.ts";
import type { Finding } from "./schema/rule.ts";
import { networkConflict, type VmConfig } from "./types.ts";

/** What {@linkcode check} says of a configuration. */
export interface Checked {
  /** With its keys in order, and `null` left out; undefined: it is no object. */
  config: VmConfig | undefined;
  /** What is wrong with it. */
  findings: Finding[];
}

/** Checks what should be a {@linkcode VmConfig}. */
export function check(value: unknown): Checked {
  const findings: Finding[] = [];
  const config = CONFIG_FILE.read(value, "", findings);
  // What is wrong alone would only be told again.
  const sound = findings.every(({ code }) => code === "no-file");
  if (config && sound) findings.push(...conflicts(config));
  return { config, findings };
}

/** Keys that are right alone, but not together. */
function conflicts(config: VmConfig): Finding[] {
  const drives = config.drives ?? [];
  const networks = config["network-interfaces"] ?? [];
  return [
    ...twice("drives", "drive_id", drives.map((drive) => drive.drive_id)),
    ...twice(
      "network-interfaces",
      "iface_id",
      networks.map((network) => network.iface_id),
    ),
    ...networks.flatMap((network, index) => {
      const expected = networkConflict(network);
      if (expected === undefined) return [];
      return conflict(`network-interfaces[${index}]`, expected);
    }),
    ...machineConflicts(config),
    ...secondRoot(drives.map((drive) => drive.is_root_device)),
    ...balloonConflicts(config),
    ...consoleConflicts(config),
    ...tooManyDevices(config),
  ];
}

function conflict(path: string, expected: string): Finding[] {
  return [{ path, code: "conflict", expected }];
}

function machineConflicts(config: VmConfig): Finding[] {
  const { vcpu_count, smt, huge_pages, memory_file } = machineOf(config);
  const findings: Finding[] = [];
  if (smt && vcpu_count > 1 && vcpu_count % 2 !== 0) {
    const expected = `${vcpu_count} is neither 1 nor even, as smt wants it`;
    findings.push(...conflict("machine-config.vcpu_count", expected));
  }
  if (huge_pages === "2M" && memory_file !== undefined) {
    const expected = "huge pages and a memory file exclude each other";
    findings.push(...conflict("machine-config.memory_file", expected));
  }
  return findings;
}

function secondRoot(isRoot: readonly boolean[]): Finding[] {
  const [first, second] = [isRoot.indexOf(true), isRoot.lastIndexOf(true)];
  if (first === second) return [];
  const at = `drives[${first}]`;
  return conflict(
    `drives[${second}].is_root_device`,
    `${at} is the root device already`,
  );
}

function balloonConflicts(config: VmConfig): Finding[] {
  if (config.balloon === undefined) return [];
  const { amount_mib: value } = config.balloon;
  const { mem_size_mib, huge_pages } = machineOf(config);
  const findings: Finding[] = [];
  if (value > mem_size_mib) {
    const path = "balloon.amount_mib";
    const expected = `0 to ${mem_size_mib}, the guest's memory`;
    findings.push({ path, code: "range", expected, value });
  }
  if (huge_pages === "2M") {
    const expected =
      "memory from the host's pool of huge pages can't be given back; " +
      'leave out huge_pages "2M", or the balloon';
    findings.push(...conflict("balloon", expected));
  }
  return findings;
}

function consoleConflicts({ console }: VmConfig): Finding[] {
  const { main = false, ports = [] } = console ?? {};
  const most = main ? MAX_PORTS - 1 : MAX_PORTS;
  const count = ports.length;
  return [
    ...count > most
      ? conflict("console.ports", `${count} ports; at most ${most} fit`)
      : [],
    ...twice("console.ports", "name", ports.map(({ name }) => name)),
  ];
}

/** More devices than there are windows and interrupts. */
function tooManyDevices(config: VmConfig): Finding[] {
  const count = (config.drives?.length ?? 0) +
    (config["network-interfaces"]?.length ?? 0) +
    (config.entropy ? 1 : 0) +
    (config.balloon ? 1 : 0) +
    (config.console ? 1 : 0) +
    (config.vsock ? 1 : 0) +
    (config.devices?.length ?? 0);
  if (count <= MAX_VIRTIO_DEVICES) return [];
  const most = MAX_VIRTIO_DEVICES;
  return conflict(
    "",
    `${count} devices: at most ${most} fit on the interrupts`,
  );
}

function twice(list: string, key: string, ids: readonly string[]): Finding[] {
  return ids.flatMap((value, index): Finding[] => {
    const first = ids.indexOf(value);
    if (first === index) return [];
    const path = `${list}[${index}].${key}`;
    return [{ path, code: "taken", value, at: `${list}[${first}]` }];
  });
}

function machineOf(config: VmConfig) {
  return MACHINE.fill(config["machine-config"] ?? {});
}
