/**
 * The options of `vireo boot` that are devices, from the table of kinds.
 *
 * @module
 */
import type { VmConfig } from "../vmm/config/types.ts";
import type { Kind, OptionRow } from "../vmm/devices/kind.ts";
import { KINDS } from "../vmm/devices/mod.ts";

/** Their lines of the help. */
export function deviceOptions(): OptionRow[] {
  return Object.values<Kind>(KINDS).flatMap(({ options }) =>
    options?.rows ?? []
  );
}

/**
 * The devices that the options ask for.
 *
 * @param words the options' values by name
 * @throws {VireoError} a word that can't be
 */
export function devicesOf(
  words: Readonly<Record<string, unknown>>,
): Partial<VmConfig> {
  const devices: Record<string, unknown> = {};
  for (const [key, { options }] of Object.entries<Kind>(KINDS)) {
    const value = options?.read(words);
    if (value !== undefined) devices[key] = value;
  }
  return devices;
}
