/**
 * What is said of mistakes: Vireo's findings, and what its host refuses, in the
 * words that clients of Firecracker know.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { findingText } from "../../vmm/config/schema/report.ts";
import type { Finding } from "../../vmm/config/schema/rule.ts";
import { Fault } from "../fault.ts";
import { objection, osError } from "../os_error.ts";

export { objection, osError };

const ENOENT = 2;

/** A refusal with `prefix`, unless it has its own words already. */
export function fault(prefix: string, error: unknown): Fault {
  if (error instanceof Fault) return error;
  const text = error instanceof VireoError
    ? error.message.replaceAll("\n", "; ")
    : objection(error);
  return new Fault(`${prefix}: ${text}`);
}

const VCPUS = "The number of vCPUs must be greater than 0, less than 32 and " +
  "must be 1 or an even number if SMT is enabled.";
const MEMORY = "The memory size (MiB) is either 0, or not a multiple of the " +
  "configured page size.";

/** By the path of what is wrong, without indices. */
const TEXTS: Record<string, (finding: Finding) => string> = {
  "machine-config.vcpu_count": () => `Machine config error: ${VCPUS}`,
  "machine-config.mem_size_mib": () => `Machine config error: ${MEMORY}`,
  "boot-source.kernel_image_path": () =>
    `Boot source error: The kernel file cannot be opened: ${osError(ENOENT)}`,
  "boot-source.initrd_path": () =>
    "Boot source error: The initrd file cannot be opened due to invalid path " +
    `or invalid permissions. ${osError(ENOENT)}`,
  "drives.path_on_host": (finding) =>
    finding.code === "no-file"
      ? driveText(osError(ENOENT), finding.value as string)
      : `Drive config error: ${findingText(finding)}`,
  "drives.is_root_device": () =>
    "Drive config error: A root block device already exists!",
  "network-interfaces.guest_mac": (finding) =>
    `Network config error: ${findingText(finding)}`,
  "vsock.guest_cid": (finding) =>
    `Vsock config error: guest_cid ${findingText(finding)}`,
  "balloon.amount_mib": () =>
    "Balloon config error: Amount of pages requested is too large.",
};

/** By the first part of the path, for the rest. */
const PREFIXES: Record<string, string> = {
  "machine-config": "Machine config error",
  "boot-source": "Boot source error",
  "cpu-config": "Configure CPU error",
  drives: "Drive config error",
  "network-interfaces": "Network config error",
  vsock: "Vsock config error",
  balloon: "Balloon config error",
  entropy: "Entropy config error",
};

/** What is said of a finding. */
export function textOf(finding: Finding): string {
  const path = finding.path.replaceAll(/\[\d+\]/g, "");
  const text = Object.hasOwn(TEXTS, path) ? TEXTS[path] : undefined;
  if (text !== undefined) return text(finding);
  const [key = ""] = path.split(".");
  const prefix = PREFIXES[key] ?? "Start microvm error";
  return `${prefix}: ${path} ${findingText(finding)}`;
}

/** A drive can't be had; the path comes last. */
export function driveText(why: string, path: string): string {
  return "Drive config error: Unable to create the virtio block device: " +
    `Virtio backend error: Error manipulating the backing file: ${why} ${path}`;
}

/** A TAP can't be had. */
export function tapText(why: string, name: string): string {
  return "Network config error: Could not create the network device: Open tap " +
    `device failed: Error while creating ifreq structure: ${why}. Invalid ` +
    `TUN/TAP Backend provided by ${name}. Check our documentation on setting ` +
    "up the network devices.";
}
