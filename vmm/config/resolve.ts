/**
 * What a configuration means: checked once, with every default filled in.
 * Nothing reads a key of the configuration after this.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import type { KernelCommandLine } from "../../guest/boot/cmdline.ts";
import type { KernelEntry } from "../../guest/kernel/entry.ts";
import { MiB } from "../../guest/layout.ts";
import type { AllocateOptions } from "../../guest/memory.ts";
import { bootArgs, rootWords } from "./boot_args.ts";
import { check } from "./check.ts";
import {
  BALLOON,
  CONSOLE,
  DRIVES,
  type FilledBalloon,
  type FilledConsole,
  type FilledDrive,
  type FilledMachineConfig,
  type FilledNetworkInterface,
  MACHINE,
  NETWORKS,
} from "./keys.ts";
import { report } from "./schema/report.ts";
import type { Finding } from "./schema/rule.ts";
import type { CustomDevice, Entropy, VmConfig, Vsock } from "./types.ts";

/** Microseconds: about what a wake-up costs. */
const DEFAULT_POLL = 50;

/** A machine that can be built as it stands here. */
export interface ResolvedConfig {
  /** The kernel's path, or its bytes. */
  kernel: string | Uint8Array;
  /** Where to enter it; undefined: where it suits it. */
  entry: KernelEntry | undefined;
  /** Path of the initial RAM disk. */
  initrd: string | undefined;
  /** The kernel's command line but for the words that name devices. */
  commandLine: KernelCommandLine;
  /** vCPUs. */
  cpus: number;
  /** Threads per core, 1 or 2. */
  threads: number;
  /** Bytes of RAM. */
  memory: number;
  /** Where the RAM is to come from. */
  memoryOptions: AllocateOptions;
  /** The longest time to look for work before sleeping. */
  pollMicroseconds: number;
  /** How virtio devices are attached. */
  transport: "mmio" | "pci";
  /** Offer packed virtqueues. */
  packed: boolean;
  /** By ACPI or not; undefined: as the kernel has it. */
  acpi: boolean | undefined;
  /** See {@linkcode MachineConfig.carry_syscalls}. */
  carrySyscalls: boolean;
  /** Disks in the order of their names in the guest. */
  drives: FilledDrive[];
  /** Networks. */
  networks: FilledNetworkInterface[];
  /** Sockets. */
  vsock: Vsock | undefined;
  /** Random numbers. */
  entropy: Entropy | undefined;
  /** The balloon. */
  balloon: FilledBalloon | undefined;
  /** The virtio console. */
  console: FilledConsole | undefined;
  /** Devices of the user's own. */
  custom: CustomDevice[];
}

/**
 * Checks `config`, by the rules of {@linkcode check}, and fills it in.
 *
 * @param message what is said of findings; undefined: these are no obstacle
 * @throws {VireoError} its text
 */
export function resolve(
  config: VmConfig,
  message: (findings: Finding[]) => string | undefined = report,
): ResolvedConfig {
  const { config: checked, findings } = check(config);
  const text = findings.length > 0 ? message(findings) : undefined;
  if (text !== undefined) throw new VireoError(text);
  return filled(checked!);
}

function filled(config: VmConfig): ResolvedConfig {
  const source = config["boot-source"];
  const machine = MACHINE.fill(config["machine-config"] ?? {});
  const drives = drivesInOrder(DRIVES.fill(config.drives ?? []));
  const commandLine = withRoot(bootArgs(config), drives);
  const cpus = machine.vcpu_count;
  return {
    kernel: source.kernel_image_path,
    entry: source.entry,
    initrd: source.initrd_path,
    commandLine,
    cpus,
    threads: machine.smt && cpus > 1 ? 2 : 1,
    memory: machine.mem_size_mib * MiB,
    memoryOptions: memoryOptions(machine),
    pollMicroseconds: pollMicroseconds(machine),
    transport: machine.transport,
    packed: machine.packed_rings,
    acpi: acpi(machine, commandLine),
    carrySyscalls: machine.carry_syscalls,
    drives,
    networks: NETWORKS.fill(config["network-interfaces"] ?? []),
    vsock: config.vsock,
    entropy: config.entropy,
    balloon: config.balloon && BALLOON.fill(config.balloon),
    console: config.console && CONSOLE.fill(config.console),
    custom: config.devices ?? [],
  };
}

/** The root device is `vda`, wherever it stands. */
function drivesInOrder(drives: FilledDrive[]): FilledDrive[] {
  return [
    ...drives.filter((drive) => drive.is_root_device),
    ...drives.filter((drive) => !drive.is_root_device),
  ];
}

function withRoot(
  given: KernelCommandLine,
  drives: FilledDrive[],
): KernelCommandLine {
  return given.get("root") === undefined
    ? given.add(...rootWords(drives))
    : given;
}

function memoryOptions(
  { huge_pages, memory_file }: FilledMachineConfig,
): AllocateOptions {
  return {
    hugePages: huge_pages === "Transparent",
    hugePagePool: huge_pages === "2M",
    file: memory_file,
  };
}

function pollMicroseconds(
  { vcpu_count, poll_us }: FilledMachineConfig,
): number {
  const spare = navigator.hardwareConcurrency > vcpu_count;
  return poll_us ?? (spare ? DEFAULT_POLL : 0);
}

/**
 * Whether the guest is to find its devices by ACPI; else it is by the command
 * line, and never both ways: it would have each device twice.
 */
function acpi(
  { acpi }: FilledMachineConfig,
  commandLine: KernelCommandLine,
): boolean | undefined {
  if (acpi !== "auto") return acpi === "on";
  return commandLine.has("acpi", "off") ? false : undefined;
}
