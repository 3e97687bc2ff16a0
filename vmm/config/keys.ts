/**
 * Every key of a configuration, in one table: Firecracker's (`--config-file`)
 * and Vireo's own. Those of devices are in the kinds' files (`../devices/`). To
 * add a key, add a property to its interface and a row to the table beside it;
 * neither compiles without the other. Then `deno run -A vmm/config/docs.ts`
 * brings docs/configuration.md up to it.
 *
 * @module
 */
import { ENTRIES } from "../../guest/kernel/entry.ts";
import { CPU_CONFIG } from "./cpu.ts";
import { GiB, MiB } from "../../guest/layout.ts";
import { MAX_VCPUS } from "../control.ts";
import { KINDS } from "../devices/mod.ts";
import type { Kind } from "../devices/kind.ts";
import {
  anyText,
  boolean,
  file,
  fileOrBytes,
  type Filled,
  integer,
  type Key,
  type Keys,
  type KeyStatus,
  list,
  notYet,
  object,
  oneOf,
  onHost,
  optional,
  own,
  required,
  type Rule,
  text,
} from "./schema/rule.ts";
import type { BootSource, MachineConfig, VmConfig } from "./types.ts";

const BOOT_SOURCE: Keys<BootSource> = {
  kernel_image_path: required(fileOrBytes, "The kernel."),
  initrd_path: optional(file, "The initial RAM disk."),
  boot_args: optional(
    anyText,
    "The kernel command line. Root device and devices are added to it.",
  ),
  entry: own(
    oneOf(ENTRIES),
    "Where to enter the kernel. Default: what suits it, unpacked on the host.",
  ),
};

/** `machine-config` with its defaults. */
export type FilledMachineConfig = Filled<MachineConfig, MachineDefaults>;

type MachineDefaults =
  | "vcpu_count"
  | "mem_size_mib"
  | "smt"
  | "huge_pages"
  | "acpi"
  | "carry_syscalls"
  | "transport"
  | "packed_rings"
  | "irqfd"
  | "mapped_registers"
  | "nested"
  | "pmu";

const MACHINE_CONFIG: Keys<MachineConfig, MachineDefaults> = {
  vcpu_count: optional(integer(1, MAX_VCPUS), "vCPUs.", 1),
  mem_size_mib: optional(integer(2, 64 * GiB / MiB), "RAM in MiB.", 128),
  smt: optional(
    boolean,
    "Two threads per core; then `vcpu_count` is 1 or even.",
    false,
  ),
  track_dirty_pages: notYet("For snapshots.", false),
  huge_pages: optional(
    oneOf(["None", "Transparent", "2M"]),
    "`Transparent`: wherever the host finds them. `2M`: from the host's pool.",
    "Transparent",
    ", where Firecracker's is `None`",
  ),
  cpu_template: notYet("A CPU to look like, such as `T2`.", "None"),
  poll_us: own(
    integer(0, 1_000_000),
    "The longest time to look for I/O before sleeping, in microseconds. " +
      "Default 50, or 0 without a core to spare.",
  ),
  memory_file: own(
    onHost(text),
    "A file to share the RAM through; made if there is none, reserved at " +
      "once, and kept. " +
      "An address below 3 GiB is the offset in it, and what is above 4 GiB " +
      "follows.",
  ),
  acpi: own(
    oneOf(["auto", "on", "off"]),
    "The guest finds its devices by ACPI, or by its command line.",
    "auto",
    ": by ACPI when the kernel has it",
  ),
  carry_syscalls: own(
    boolean,
    "Complete SYSCALLs that KVM leaves half done: for stock kernels on hosts " +
      "whose KVM emulates guest kernel mode.",
    false,
  ),
  transport: own(
    oneOf(["mmio", "pci"]),
    "How virtio devices are attached.",
    "mmio",
  ),
  packed_rings: own(
    boolean,
    "Offer packed virtqueues (`VIRTIO_F_RING_PACKED`).",
    false,
  ),
  irqfd: own(
    boolean,
    "Over MMIO, interrupts by irqfd: a thread of the kernel's raises them, not " +
      "the device's.",
    false,
  ),
  mapped_registers: own(
    boolean,
    "Over MMIO, the guest reads virtio registers as memory, and interrupts cost " +
      "no exit.",
    true,
  ),
  nested: own(
    boolean,
    "The guest may have guests of its own: CPUID shows VMX or SVM.",
    false,
  ),
  pmu: own(
    boolean,
    "The guest has the performance counters that KVM offers.",
    false,
  ),
};

/** `machine-config`. */
export const MACHINE = object<MachineConfig, MachineDefaults>(MACHINE_CONFIG);

/** The rows of the kinds of devices whose keys have this status. */
function kinds(wanted: KeyStatus): Record<string, Key<unknown>> {
  const rows: Record<string, Key<unknown>> = {};
  for (const [key, kind] of Object.entries<Kind>(KINDS)) {
    const { about, status } = kind;
    if (status !== wanted) continue;
    const rule: Rule<unknown> = kind.list ? list(kind.rule) : kind.rule;
    rows[key] = { rule, about, status, required: false };
  }
  return rows;
}

/** A whole configuration. */
export const CONFIG: Rule<VmConfig> = object<VmConfig>({
  "boot-source": required(object<BootSource>(BOOT_SOURCE), "What to boot."),
  "machine-config": optional(MACHINE, "CPUs and memory."),
  "cpu-config": optional(CPU_CONFIG, "Changes to CPUID and MSRs."),
  ...kinds("honoured"),
  pmem: notYet("Disks as memory."),
  "memory-hotplug": notYet("Memory that comes and goes."),
  logger: notYet("Vireo logs to standard error."),
  metrics: notYet("Counters in a file."),
  "mmds-config": notYet("Data for the guest over HTTP."),
  serial: notYet("The console's output in a file."),
  ...kinds("Vireo's own"),
} as unknown as Keys<VmConfig>); // a row of KINDS for each of DeviceKeys
