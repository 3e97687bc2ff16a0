/**
 * What a machine has on the host that its forks can't have, too.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import type { Overrides } from "./restore.ts";
import type { SavedMachine } from "./saved_machine.ts";
import { Snapshot } from "./snapshot.ts";
import { missingIn } from "./trust.ts";

/** Keys whose values one machine has at a time, in the parts of a machine. */
const EXCLUSIVE: Partial<Record<keyof Overrides, readonly string[]>> = {
  "drives": ["path_on_host"],
  "network-interfaces": ["host_dev_name", "socket", "plug", "pcap"],
  "console": ["path"],
  "vsock": ["uds_path"],
};

/**
 * Checks that a fork gets its own of what the machine has alone. Disks that
 * neither writes are for both.
 *
 * @throws {VireoError} what is to be given, in one line
 */
export function checkShared(
  { config }: SavedMachine,
  overrides: Overrides,
  what: "fork" | "pool" = "fork",
): void {
  const drives = config.drives?.filter((drive) => !drive.is_read_only);
  const missing = Object.entries(EXCLUSIVE).flatMap(([name, keys]) => {
    const key = name as keyof Overrides;
    const value = key === "drives" ? drives : config[key];
    return missingIn(key, value, overrides[key], keys);
  });
  if (missing.length === 0) return;
  const why = what === "fork"
    ? "the machine itself has it"
    : "each machine has its own";
  throw new VireoError(
    `${what}: to be given, since ${why}: ${missing.join(", ")}`,
  );
}

/** A fork's RAM is in no file of its parent's. */
export function withoutMemoryFile({ state, memory }: Snapshot): Snapshot {
  const { memory_file: _, ...machine } = state.config["machine-config"] ?? {};
  const config = { ...state.config, "machine-config": machine };
  return new Snapshot({ ...state, config }, memory);
}
