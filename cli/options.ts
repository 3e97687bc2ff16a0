/**
 * The words of the command line that are not a device's, as parts of a
 * {@linkcode VmConfig}. It needs no permission.
 *
 * @module
 */
import { VireoError } from "../ffi/error.ts";

/** `--root`: the prepared image. */
export const BUSYBOX = "busybox";
/** `--root`: no root disk. */
export const NO_ROOT = "none";

const UNITS: Record<string, number> = {
  "": 1,
  K: 1 / 1024,
  M: 1,
  G: 1024,
  T: 1024 * 1024,
};

/**
 * MiB from `128M`, `2G` or `128`.
 *
 * @throws {VireoError} when it is no size, or not a whole number of MiB
 */
export function parseMemory(text: string): number {
  const match = /^(\d+)([KMGT]?)(i?B)?$/i.exec(text);
  const mebibytes = match
    ? Number(match[1]) * UNITS[match[2]!.toUpperCase()]!
    : NaN;
  if (!Number.isInteger(mebibytes)) {
    throw new VireoError(
      `--memory ${text}: not a size in whole MiB like 128M or 2G`,
    );
  }
  return mebibytes;
}

/**
 * How virtio devices are attached: {@linkcode MachineConfig.transport}.
 *
 * @throws {VireoError} when it is no transport
 */
export function parseTransport(text: string): "mmio" | "pci" {
  if (text === "mmio" || text === "pci") return text;
  throw new VireoError(`--transport ${text}: not one of mmio, pci`);
}

/**
 * How the guest finds its devices: {@linkcode MachineConfig.acpi}.
 *
 * @throws {VireoError} when it is none of its values
 */
export function parseAcpi(text: string): "auto" | "on" | "off" {
  if (text === "auto" || text === "on" || text === "off") return text;
  throw new VireoError(`--acpi ${text}: not one of auto, on, off`);
}
