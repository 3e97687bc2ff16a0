/**
 * What a configuration means: defaults filled in, and limits kept.
 *
 * @module
 */
import { BLK_QUEUES } from "../../devices/virtio/blk/config.ts";
import { VireoError } from "../../ffi/errno.ts";
import { KernelCommandLine } from "../../guest/boot/cmdline.ts";
import { GiB, MAX_VIRTIO_DEVICES, MiB } from "../../guest/layout.ts";
import type { AllocateOptions } from "../../guest/memory.ts";
import { MAX_VCPUS } from "../control.ts";
import type { Drive, VmConfig, Vsock } from "./types.ts";

/**
 * The command line of a kernel that gets none: console on the serial port;
 * reboot, also after a panic, through the i8042, which ends the machine; and
 * no search for a keyboard behind it.
 */
export const DEFAULT_BOOT_ARGS: string = defaultBootArgs("ttyS0");

function defaultBootArgs(console: "ttyS0" | "hvc0"): string {
  return `console=${console} reboot=k panic=-1 ` +
    "i8042.noaux i8042.nomux i8042.dumbkbd";
}

/** The command line in `config`, or the default one for its console. */
export function bootArgs(config: VmConfig): KernelCommandLine {
  return new KernelCommandLine(
    config["boot-source"].boot_args ??
      defaultBootArgs(config.console?.main ? "hvc0" : "ttyS0"),
  );
}

/** Microseconds: about what a wake-up costs. */
const DEFAULT_POLL = 50;
const MAX_POLL = 1_000_000;

/** The most pairs of queues of a network; a device page has room for them. */
export const MAX_QUEUE_PAIRS = 8;

const MAX_MEMORY_MIB = 64 * GiB / MiB;

/**
 * CPUs, threads per core, and bytes of memory, with defaults and within
 * limits.
 *
 * @throws {VireoError} when one is beyond them
 */
export function machineSize(
  config: VmConfig,
): { cpus: number; threads: number; memory: number } {
  const { vcpu_count = 1, mem_size_mib = 128, smt = false } =
    config["machine-config"] ?? {};
  if (
    !Number.isInteger(vcpu_count) || vcpu_count < 1 || vcpu_count > MAX_VCPUS
  ) {
    throw new VireoError(`cpus: ${vcpu_count} is not 1 to ${MAX_VCPUS}`);
  }
  const fits = mem_size_mib >= 2 && mem_size_mib <= MAX_MEMORY_MIB;
  if (!Number.isInteger(mem_size_mib) || !fits) {
    throw new VireoError(
      `memory: ${mem_size_mib} MiB is not within 2 MiB to 64 GiB`,
    );
  }
  if (smt && vcpu_count > 1 && vcpu_count % 2 !== 0) {
    throw new VireoError(
      `cpus: with smt, ${vcpu_count} is neither 1 nor an even number`,
    );
  }
  const threads = smt && vcpu_count > 1 ? 2 : 1;
  return { cpus: vcpu_count, threads, memory: mem_size_mib * MiB };
}

/**
 * The drives in the order of their names in the guest: the root device is
 * `vda`, wherever it stands.
 *
 * @throws {VireoError} when there is more than one root device
 */
export function drivesInOrder({ drives = [] }: VmConfig): Drive[] {
  const roots = drives.filter((drive) => drive.is_root_device);
  if (roots.length > 1) {
    throw new VireoError(
      `drives: "${roots[0]!.drive_id}" and "${roots[1]!.drive_id}" can't ` +
        "both be the root device",
    );
  }
  return [...roots, ...drives.filter((drive) => !drive.is_root_device)];
}

/** The words that `drives` add to the command line; none without a root. */
export function rootWords(drives: readonly Drive[]): string[] {
  const root = drives.find((drive) => drive.is_root_device);
  if (root === undefined) return [];
  const { partuuid, is_read_only } = root;
  const where = partuuid ? `PARTUUID=${partuuid}` : "/dev/vda";
  return [`root=${where}`, is_read_only ? "ro" : "rw"];
}

/** Where the RAM is to come from. */
export function memoryOptions(config: VmConfig): AllocateOptions {
  const { huge_pages = "Transparent", memory_file } =
    config["machine-config"] ?? {};
  if (!["None", "Transparent", "2M"].includes(huge_pages)) {
    throw new VireoError(
      `huge_pages: "${huge_pages}" is not "None", "Transparent" or "2M"`,
    );
  }
  if (huge_pages === "2M" && memory_file !== undefined) {
    throw new VireoError(
      "memory: huge pages and a memory file exclude each other",
    );
  }
  return {
    hugePages: huge_pages === "Transparent",
    hugePagePool: huge_pages === "2M",
    file: memory_file,
  };
}

/** The polling time that `config` asks for, or the default for this host. */
export function pollMicroseconds(config: VmConfig): number {
  const { vcpu_count = 1, poll_us } = config["machine-config"] ?? {};
  const spare = navigator.hardwareConcurrency > vcpu_count;
  const microseconds = poll_us ?? (spare ? DEFAULT_POLL : 0);
  if (!(microseconds >= 0 && microseconds <= MAX_POLL)) {
    throw new VireoError(`poll-us: ${poll_us} is not 0 to ${MAX_POLL}`);
  }
  return microseconds;
}

/**
 * Whether the guest is to find its devices by ACPI; else it is by the command
 * line, and never both ways: it would have each device twice.
 *
 * @param kernelHasAcpi asked only when it depends on the kernel
 */
export function usesAcpi(
  config: VmConfig,
  kernelHasAcpi: () => boolean,
): boolean {
  const { acpi = "auto" } = config["machine-config"] ?? {};
  switch (acpi) {
    case "on":
    case "off":
      return acpi === "on";
    case "auto":
      return !bootArgs(config).has("acpi", "off") && kernelHasAcpi();
    default:
      throw new VireoError(`acpi: "${acpi}" is not one of auto, on, off`);
  }
}

/** Refuses more devices than there are windows and interrupts. */
export function checkDeviceCount(config: VmConfig): void {
  const count = (config.drives?.length ?? 0) +
    (config["network-interfaces"]?.length ?? 0) +
    (config.entropy ? 1 : 0) +
    (config.balloon ? 1 : 0) +
    (config.console ? 1 : 0) +
    (config.vsock ? 1 : 0) +
    (config.devices?.length ?? 0);
  if (count > MAX_VIRTIO_DEVICES) {
    throw new VireoError(
      `${count} devices: at most ${MAX_VIRTIO_DEVICES} fit on the interrupts`,
    );
  }
}

/** The request queues of a disk. */
export function driveQueues({ drive_id, queues = 1 }: Drive): number {
  const valid = Number.isInteger(queues) && queues >= 1 && queues <= BLK_QUEUES;
  if (valid) return queues;
  throw new VireoError(
    `disk "${drive_id}": ${queues} queues is not 1 to ${BLK_QUEUES}`,
  );
}

/** The context id of a guest; 0 to 2 and the last have other meanings. */
export function guestCid({ guest_cid }: Vsock): number {
  const valid = Number.isInteger(guest_cid) && guest_cid >= 3 &&
    guest_cid < 0xffff_ffff;
  if (valid) return guest_cid;
  throw new VireoError(`vsock: cid ${guest_cid} is not 3 to 4294967294`);
}

/**
 * Six bytes from `02:00:00:00:00:01`. Without text, a locally administered
 * address that stays the same for the same `name`.
 *
 * @throws {VireoError} not six bytes, or a multicast address
 */
export function macAddress(text: string | undefined, name: string): Uint8Array {
  if (text === undefined) return macFromName(name);
  const valid = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text);
  const mac = Uint8Array.from(text.split(":"), (byte) => parseInt(byte, 16));
  if (!valid || mac[0]! & 1) {
    throw new VireoError(
      `mac: "${text}" is not a unicast address like 02:00:00:00:00:01`,
    );
  }
  return mac;
}

function macFromName(name: string): Uint8Array {
  // FNV-1a: spreads short names over four bytes.
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) {
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  const mac = new Uint8Array([0x02, 0x56, 0, 0, 0, 0]);
  new DataView(mac.buffer).setUint32(2, hash);
  return mac;
}
