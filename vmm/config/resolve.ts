/**
 * What a configuration means: checked once, with every default filled in.
 * Nothing reads a key of the configuration after this.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import type { CpuConfig } from "../../guest/boot/cpu_template.ts";
import type { KernelCommandLine } from "../../guest/boot/cmdline.ts";
import type { KernelEntry } from "../../guest/kernel/entry.ts";
import { MiB, virtioGsi, virtioWindow } from "../../guest/layout.ts";
import type { AllocateOptions } from "../../guest/backing.ts";
import type { Kind } from "../devices/kind.ts";
import { bootArgs } from "./boot_args.ts";
import { check, devicesByKind } from "./check.ts";
import { type FilledMachineConfig, MACHINE } from "./keys.ts";
import { report } from "./schema/report.ts";
import type { Finding } from "./schema/rule.ts";
import type { VmConfig } from "./types.ts";

/** Microseconds: about what a wake-up costs. */
const DEFAULT_POLL = 50;

/** A machine that can be built as it stands here. */
export interface ResolvedConfig {
  /** What was resolved. */
  source: VmConfig;
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
  /** What of the CPUs is otherwise than KVM has it. */
  cpuConfig: CpuConfig;
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
  /** Interrupts over MMIO by an irqfd. */
  irqfd: boolean;
  /** The guest reads virtio-mmio windows as memory. */
  mappedRegisters: boolean;
  /** By ACPI or not; undefined: as the kernel has it. */
  acpi: boolean | undefined;
  /** Complete SYSCALLs that KVM leaves half done. */
  carrySyscalls: boolean;
  /** CPUID shows VMX or SVM. */
  nested: boolean;
  /** The guest has performance counters. */
  pmu: boolean;
  /** The main console is the virtio console. */
  virtioConsole: boolean;
  /** The devices in the order of their windows. */
  devices: ResolvedDevice[];
}

/** A device, and its place in the guest. */
export interface ResolvedDevice {
  /** What it is. */
  kind: Kind;
  /** What the configuration says of it, with its defaults. */
  config: unknown;
  /** Guest address of its virtio-mmio window. */
  window: number;
  /** Its interrupt. */
  gsi: number;
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
  const boot = config["boot-source"];
  const machine = MACHINE.fill(config["machine-config"] ?? {});
  const given = bootArgs(config);
  const { devices, words } = resolveDevices(config, given);
  const cpus = machine.vcpu_count;
  return {
    source: config,
    kernel: boot.kernel_image_path,
    entry: boot.entry,
    initrd: boot.initrd_path,
    commandLine: given.add(...words),
    cpus,
    threads: machine.smt && cpus > 1 ? 2 : 1,
    cpuConfig: config["cpu-config"] ?? {},
    memory: machine.mem_size_mib * MiB,
    memoryOptions: memoryOptions(machine),
    pollMicroseconds: pollMicroseconds(machine),
    transport: machine.transport,
    packed: machine.packed_rings,
    irqfd: machine.irqfd,
    mappedRegisters: machine.mapped_registers,
    acpi: acpi(machine, given),
    carrySyscalls: machine.carry_syscalls,
    nested: machine.nested,
    pmu: machine.pmu,
    virtioConsole: config.console?.main ?? false,
    devices,
  };
}

/** The devices, and what they add to the kernel's command line. */
function resolveDevices(
  config: VmConfig,
  given: KernelCommandLine,
): { devices: ResolvedDevice[]; words: string[] } {
  const devices: ResolvedDevice[] = [];
  const words: string[] = [];
  const kinds = devicesByKind(config).sort(([a], [b]) => a.order - b.order);
  for (const [kind, values] of kinds) {
    const filled = values.map((value) => kind.rule.fill(value));
    words.push(...kind.cmdline?.(filled, given) ?? []);
    for (const config of kind.inOrder?.(filled) ?? filled) {
      const index = devices.length;
      const [window, gsi] = [virtioWindow(index), virtioGsi(index)];
      devices.push({ kind, config, window, gsi });
    }
  }
  return { devices, words };
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
