/**
 * Checks a configuration: each key by its rule, then what must fit together.
 * It is the only check, for files, programs and the command line.
 *
 * @module
 */
import { MAX_VIRTIO_DEVICES } from "../../guest/layout.ts";
import { KINDS } from "../devices/mod.ts";
import type { Kind } from "../devices/kind.ts";
import { CONFIG, type FilledMachineConfig, MACHINE } from "./keys.ts";
import { conflict } from "./schema/conflict.ts";
import type { Finding } from "./schema/rule.ts";
import type { VmConfig } from "./types.ts";

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
  const config = CONFIG.read(value, "", findings);
  // What is wrong alone would only be told again.
  const sound = findings.every(({ code }) => code === "no-file");
  if (config && sound) findings.push(...conflicts(config));
  return { config, findings };
}

/** The kinds that `config` has devices of, each with them. */
export function devicesByKind(config: VmConfig): [Kind, unknown[]][] {
  const values = config as unknown as Record<string, unknown>;
  return Object.entries<Kind>(KINDS).flatMap(([key, kind]) => {
    const value = values[key];
    if (value === undefined) return [];
    return [[kind, kind.list ? value as unknown[] : [value]]];
  });
}

/** Keys that are right alone, but not together. */
function conflicts(config: VmConfig): Finding[] {
  const machine = MACHINE.fill(config["machine-config"] ?? {});
  const devices = devicesByKind(config);
  return [
    ...machineConflicts(machine),
    ...devices.flatMap(([kind, devices]) =>
      kind.conflicts?.(devices, machine) ?? []
    ),
    ...tooMany(devices.reduce((sum, [, devices]) => sum + devices.length, 0)),
  ];
}

function machineConflicts(
  { vcpu_count, smt, huge_pages, memory_file }: FilledMachineConfig,
): Finding[] {
  const findings: Finding[] = [];
  if (smt && vcpu_count > 1 && vcpu_count % 2 !== 0) {
    const text = `${vcpu_count} is neither 1 nor even, as smt wants it`;
    findings.push(conflict("machine-config.vcpu_count", text));
  }
  if (huge_pages === "2M" && memory_file !== undefined) {
    const text = "huge pages and a memory file exclude each other";
    findings.push(conflict("machine-config.memory_file", text));
  }
  return findings;
}

/** More devices than there are windows and interrupts. */
function tooMany(devices: number): Finding[] {
  if (devices <= MAX_VIRTIO_DEVICES) return [];
  const most = `at most ${MAX_VIRTIO_DEVICES} fit on the interrupts`;
  return [conflict("", `${devices} devices: ${most}`)];
}
