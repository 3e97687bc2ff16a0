/**
 * The options of `vireo boot`, in the order of its help.
 *
 * @module
 */
import { ENTRIES } from "../guest/kernel/entry.ts";
import { DISK_WORDS } from "../vmm/devices/blk.ts";
import type { OptionRow } from "../vmm/devices/kind.ts";
import { deviceOptions } from "./device_options.ts";
import { CRASH_DIR } from "./crash_dir.ts";
import { GDB } from "./gdb_option.ts";
import {
  BUSYBOX,
  COLD,
  CONTROL,
  DISTROS,
  MONITORS,
  NO_ROOT,
  PREPARED_KERNEL,
  QUIET,
  SNAPSHOT_ON,
  TIMEOUT,
} from "./options.ts";

/** How virtio devices are attached. */
export const TRANSPORTS = ["mmio", "pci"] as const;
/** How the guest finds its devices. */
export const ACPI_CHOICES = ["auto", "on", "off"] as const;

const KERNEL: OptionRow[] = [
  ...PREPARED_KERNEL,
  {
    flags: "--entry <where>",
    about: "vmlinux, pvh or bzimage; default: what suits",
    values: ENTRIES,
  },
  {
    flags: "--distro <name>",
    about: 'the kernel of a distribution: "debian"',
    values: DISTROS,
  },
  { flags: "--initrd <file>", about: "initial RAM disk" },
  {
    flags: "--cmdline <words>",
    about: "more words for the kernel command line",
  },
];

const MACHINE: OptionRow[] = [
  {
    flags: "--memory <size>",
    about: "RAM, such as 64M or 2G, to 64G",
    default: "128M",
  },
  { flags: "--hugepages", about: "RAM from the host's pool of 2 MiB pages" },
  {
    flags: "--memory-file <file>",
    about: "share the RAM through a file, kept",
  },
  { flags: "--cpus <count>", about: "virtual CPUs, 1 to 32", default: "1" },
  {
    flags: "--root <file>",
    about:
      `root disk: FILE[,ro][,direct][,queues=N], "${BUSYBOX}" or "${NO_ROOT}"`,
    values: [BUSYBOX, NO_ROOT],
    words: DISK_WORDS,
  },
];

const ATTACHING: OptionRow[] = [
  {
    flags: "--transport <name>",
    about: "attach virtio devices by mmio or pci",
    default: "mmio",
    values: TRANSPORTS,
  },
  {
    flags: "--acpi <choice>",
    about: "on, off, or auto: as the kernel has it",
    values: ACPI_CHOICES,
  },
];

const SESSION: OptionRow[] = [
  {
    flags: "--exec <commands>",
    about: "run them in the guest's shell, and end",
  },
  COLD,
  {
    flags: "--instant",
    about: "keep a KERNEL of your own, too, with --root busybox; it needs " +
      "X86_IOPL_IOPERM, and changed disks are another machine",
  },
  TIMEOUT,
  ...CONTROL,
  ...MONITORS,
  SNAPSHOT_ON,
  GDB,
  CRASH_DIR,
  {
    flags: "--poll-us <time>",
    about: "longest time to look for I/O before sleeping",
  },
  QUIET,
  {
    flags: "--verbose",
    about: "say what KVM's emulator left to Vireo, at the end",
  },
];

/** Where devices' are in the help; an option that isn't here comes after. */
const DEVICE_ORDER =
  "disk net pcap vsock device bus-device transport acpi console port " +
  "rng balloon";

/** All of them; those of devices come from the table of kinds. */
export function bootOptions(): OptionRow[] {
  const names = DEVICE_ORDER.split(" ").map((name) => `--${name}`);
  const place = ({ flags }: OptionRow) =>
    (names.indexOf(flags.split(" ")[0]!) + 1) || Infinity;
  const devices = [...deviceOptions(), ...ATTACHING]
    .sort((a, b) => place(a) - place(b));
  return [...KERNEL, ...MACHINE, ...devices, ...SESSION];
}
