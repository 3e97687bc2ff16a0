/**
 * What a machine is made of, in the shape of Firecracker's `--config-file`.
 *
 * @module
 */
import type { CpuConfig } from "../../guest/boot/cpu_template.ts";
import type { KernelEntry } from "../../guest/kernel/entry.ts";
import type { DeviceKeys } from "../devices/mod.ts";

/** What to boot. */
export interface BootSource {
  /** Path of the kernel, or its bytes. */
  kernel_image_path: string | Uint8Array;
  /**
   * Where to enter the kernel: see {@linkcode KernelEntry}. Without, what
   * suits it: the 64-bit entry of the ELF file, which is unpacked first.
   */
  entry?: KernelEntry;
  /** Path of the initial RAM disk. */
  initrd_path?: string;
  /**
   * The kernel command line; the devices are added to it. Default
   * `DEFAULT_BOOT_ARGS`.
   */
  boot_args?: string;
}

/** CPUs and memory. */
export interface MachineConfig {
  /** vCPUs, 1 to 32; default 1. */
  vcpu_count?: number;
  /** RAM in MiB, 2 to 65536; default 128. */
  mem_size_mib?: number;
  /** Two threads per core, as CPUID tells it; `vcpu_count` is then even. */
  smt?: boolean;
  /**
   * Huge pages for the RAM: `Transparent` (default), wherever the host finds
   * them; `2M`, from the host's pool; `None`.
   */
  huge_pages?: "None" | "Transparent" | "2M";
  /**
   * Path of a file to share the RAM through: an address below the MMIO hole, at
   * 3 GiB, is the offset in it, and what is above 4 GiB follows. The file is
   * made if there is none, and stays.
   */
  memory_file?: string;
  /**
   * The longest time that the device worker looks for work before it sleeps,
   * in microseconds, while that pays. 0 never polls. Default 50 when
   * the host has a core to spare for it, else 0.
   */
  poll_us?: number;
  /**
   * How virtio devices are attached: `mmio`, the default, or `pci`, which the
   * kernel has to have drivers for.
   */
  transport?: "mmio" | "pci";
  /** Offer packed virtqueues (`VIRTIO_F_RING_PACKED`); default false. */
  packed_rings?: boolean;
  /**
   * Over MMIO: devices raise their interrupts by an irqfd, which a thread of the
   * kernel's carries out, and not by `KVM_IRQ_LINE`; default false.
   */
  irqfd?: boolean;
  /**
   * Over MMIO: the guest has the registers of virtio devices as memory that it
   * reads, and its interrupts cost no exit. Default true. With false each access
   * exits, and a trace shows it.
   */
  mapped_registers?: boolean;
  /**
   * How the guest finds its devices. `on`: in ACPI tables. `off`: on its
   * command line, with the processors in an MP table. Default `auto`: by
   * ACPI when the kernel has it, and `boot_args` no `acpi=off`.
   */
  acpi?: "auto" | "on" | "off";
  /**
   * Complete SYSCALLs that KVM leaves half done: for stock kernels on hosts
   * whose KVM emulates guest kernel mode, see `emulate/syscall_completion.ts`. Default
   * false.
   */
  carry_syscalls?: boolean;
  /**
   * The guest may have guests of its own: CPUID shows VMX or SVM, if this host's
   * KVM has it for guests. Default false.
   */
  nested?: boolean;
  /**
   * The guest has the performance counters that this host's KVM offers. Default
   * false: it has none.
   */
  pmu?: boolean;
}

/** A whole machine: what to boot, on what, and its devices. */
export interface VmConfig extends DeviceKeys {
  /** What to boot. */
  "boot-source": BootSource;
  /** CPUs and memory. */
  "machine-config"?: MachineConfig;
  /** What of CPUID and MSRs is otherwise than KVM has it. */
  "cpu-config"?: CpuConfig;
}
