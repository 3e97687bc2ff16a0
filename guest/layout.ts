/**
 * The guest's physical memory map (x86-64).
 *
 * ```
 * 0x0000_0500  GDT                     0xC000_0000  MMIO hole, 3 to 4 GiB
 * 0x0000_7000  boot_params               0xC000_0000  boot timer
 * 0x0000_9000  page tables               0xC000_1000  virtio-mmio windows,
 * 0x0002_0000  command line                           4 KiB each, GSI 5 + n
 * 0x0009_FC00  EBDA: MP table
 * 0x000D_0000  generation               0xFEC0_0000  IOAPIC
 * 0x000E_0000  ACPI tables               0xFEE0_0000  local APIC
 * 0x0010_0000  kernel                    0xFFFB_C000  identity map page, TSS
 *   ...        initrd at the top       0x1_0000_0000  RAM above 4 GiB
 * ```
 *
 * Windows, GSIs and boot timer are where Firecracker has them: its guests fit.
 *
 * @module
 */

/** 1 KiB, MiB, GiB in bytes. */
export const KiB = 1024, MiB = 1024 * KiB, GiB = 1024 * MiB;

/** Guest physical addresses and sizes in bytes. */
export const Layout = {
  /** Global descriptor table for the 64-bit entry. */
  GDT: 0x500,
  /** Linux's `struct boot_params`, the zero page. */
  BOOT_PARAMS: 0x7000,
  /** PML4, then one PDPT and four page directories: 4 GiB identity. */
  PAGE_TABLES: 0x9000,
  /** The stack that the entry code finds in RSP. */
  BOOT_STACK: 0x8ff0,
  /** The kernel command line, zero-terminated. */
  COMMAND_LINE: 0x2_0000,
  /** Room for the command line, in bytes. */
  COMMAND_LINE_MAX: 0x1_0000,
  /** Extended BIOS data area: the end of conventional memory. */
  EBDA: 0x9_fc00,
  /** 16 bytes that are others in each machine, also after a restore. */
  GENERATION: 0xd_0000,
  /** A byte behind it: not 0, the power button was pressed. */
  BUTTON: 0xd_0010,
  /** Where ACPI tables go. */
  ACPI: 0xe_0000,
  /** High memory: the lowest address of a kernel. */
  HIGH_MEMORY: 0x10_0000,

  /** First address of the MMIO hole. */
  MMIO_HOLE: 3 * GiB,
  /** Boot timer: a guest write of 123 logs the time since start. */
  BOOT_TIMER: 0xc000_0000,
  /** First virtio-mmio window. */
  VIRTIO_MMIO: 0xc000_1000,
  /** Bytes per virtio-mmio window. */
  VIRTIO_MMIO_SIZE: 0x1000,
  /** The window that PCI functions' memory is placed in. */
  PCI_MEMORY: 0xd000_0000,
  /** Its bytes. */
  PCI_MEMORY_SIZE: 0x1000_0000,
  /** PCI's enhanced configuration (ECAM) of bus 0. */
  PCI_ECAM: 0xe000_0000,
  /** Its bytes: 4 KiB for each of 256 functions. */
  PCI_ECAM_SIZE: 0x10_0000,
  /** I/O APIC registers. */
  IOAPIC: 0xfec0_0000,
  /** Local APIC registers. */
  LAPIC: 0xfee0_0000,
  /** One page that KVM needs on Intel hosts. */
  IDENTITY_MAP: 0xfffb_c000,
  /** Three pages that KVM needs on Intel hosts. */
  TSS: 0xfffb_d000,
  /** RAM that does not fit below the hole goes on here. */
  RAM_ABOVE_4G: 4 * GiB,
} as const;

/** I/O ports. */
export const Port = {
  /** i8042 data. */
  I8042_DATA: 0x60,
  /** i8042 status and command. */
  I8042_COMMAND: 0x64,
  /** CMOS index and data. */
  RTC: 0x70,
  /** The first serial port. */
  COM1: 0x3f8,
  /** Sleep control and status, as in hardware-reduced ACPI. */
  SLEEP: 0x600,
  /** Reset control of PC chipsets. */
  RESET: 0xcf9,
  /** PCI's configuration mechanism #1, around the reset control. */
  PCI_CONFIG: 0xcf8,
  /** Where the prepared init asks for its orders. */
  ORDERS: 0x7e00,
} as const;

/**
 * Bytes of command line that an x86 vmlinux takes: its `COMMAND_LINE_SIZE`
 * (arch/x86/include/asm/setup.h) without the terminating zero. A bzImage says
 * its own limit in `cmdline_size`; an ELF file can't.
 */
export const COMMAND_LINE_LIMIT = 2047;

/** `SLP_TYP` of soft-off: the sleep control register's, and `_S5`'s. */
export const SLP_TYP_S5 = 5;

/** Global system interrupts: pins of the I/O APIC. */
export const Gsi = {
  /** The keyboard. */
  KEYBOARD: 1,
  /** What ACPI's event device tells of, on COM2's line. */
  EVENTS: 3,
  /** COM1. */
  SERIAL: 4,
  /** The first virtio-mmio device; device n has 5 + n. */
  VIRTIO: 5,
  /** The last pin. */
  LAST: 23,
} as const;

/** The largest number of virtio-mmio devices: one GSI each. */
export const MAX_VIRTIO_DEVICES: number = Gsi.LAST - Gsi.VIRTIO + 1;

/** Guest address of virtio-mmio window `index`. */
export function virtioWindow(index: number): number {
  return Layout.VIRTIO_MMIO + index * Layout.VIRTIO_MMIO_SIZE;
}

/** GSI of virtio-mmio device `index`. */
export function virtioGsi(index: number): number {
  return Gsi.VIRTIO + index;
}
