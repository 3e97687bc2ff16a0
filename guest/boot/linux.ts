/**
 * The 64-bit Linux boot protocol: `struct boot_params` (the zero page), the
 * command line and the initrd. Names and meanings are those of
 * Documentation/arch/x86/boot.rst and zero-page.rst; offsets of
 * arch/x86/include/uapi/asm/bootparam.h.
 *
 * @module
 */
import {
  type BootFile,
  type BzImage,
  KernelError,
  OpenBootFile,
} from "../kernel/mod.ts";
import type { KernelCommandLine } from "./cmdline.ts";
import { type E820Entry, memoryMap } from "./e820.ts";
import { COMMAND_LINE_LIMIT, GiB, Layout, MiB } from "../layout.ts";
import type { GuestMemory } from "../memory.ts";

/** Where an initrd was put. */
export interface PlacedInitrd {
  /** Guest physical address, a multiple of the page size. */
  address: number;
  /** Bytes. */
  size: number;
}

/** What {@linkcode setUpLinux} puts into the guest beside the kernel. */
export interface LinuxBootOptions {
  /** The kernel command line. */
  commandLine: KernelCommandLine;
  /** Guest address after the kernel's last byte. */
  kernelEnd: number;
  /** The initial RAM disk. */
  initrd?: BootFile;
  /** Guest address of ACPI's RSDP. */
  rsdp?: number;
  /** What a bzImage says about itself. */
  bzImage?: BzImage;
}

/** What {@linkcode writeBootParams} tells the kernel. */
export interface BootParamsOptions {
  /** Where the initial RAM disk is. */
  initrd?: PlacedInitrd;
  /** Guest address of ACPI's RSDP. */
  rsdp?: number;
  /** The setup header of a bzImage, from offset 0x1f1 on. */
  header?: Uint8Array;
}

/** Offsets in `struct boot_params`; those from 0x1f1 are `setup_header`. */
const BootParams = {
  ACPI_RSDP_ADDR: 0x070,
  E820_ENTRIES: 0x1e8,
  SETUP_HEADER: 0x1f1,
  BOOT_FLAG: 0x1fe,
  HEADER: 0x202,
  VERSION: 0x206,
  TYPE_OF_LOADER: 0x210,
  LOADFLAGS: 0x211,
  RAMDISK_IMAGE: 0x218,
  RAMDISK_SIZE: 0x21c,
  CMD_LINE_PTR: 0x228,
  INITRD_ADDR_MAX: 0x22c,
  KERNEL_ALIGNMENT: 0x230,
  XLOADFLAGS: 0x236,
  CMDLINE_SIZE: 0x238,
  E820_TABLE: 0x2d0,
  SIZE: 4096,
} as const;

/** `struct boot_e820_entry`, packed. */
const E820Layout = { ADDR: 0, SIZE: 8, TYPE: 16, BYTES: 20 } as const;

/** Values of the setup header, by the field that they go to. */
const Value = {
  /** What ends a boot sector. */
  BOOT_FLAG: 0xaa55,
  /** "HdrS", little-endian. */
  HEADER: 0x53726448,
  /** Protocol 2.15, the first that never changed since. */
  VERSION: 0x020f,
  /** A boot loader without a number of its own. */
  TYPE_OF_LOADER: 0xff,
  /** `LOADED_HIGH`: the protected-mode code is at 1 MiB or above. */
  LOADFLAGS: 0x01,
  /** `XLF_KERNEL_64`: there is a 64-bit entry. */
  XLOADFLAGS: 0x01,
  /** 2 MiB, as x86-64 kernels want it. */
  KERNEL_ALIGNMENT: 2 * MiB,
} as const;

const PAGE = 4096;

/**
 * Puts command line, initrd and boot_params into guest memory.
 *
 * @returns the guest address of boot_params, for RSI
 * @throws {KernelError} when they don't fit, or the initrd can't be read
 */
export function setUpLinux(
  memory: GuestMemory,
  options: LinuxBootOptions,
): number {
  const { commandLine, kernelEnd, initrd: file, rsdp, bzImage } = options;
  writeCommandLine(memory, commandLine, bzImage?.commandLineMax);
  const initrd = file === undefined
    ? undefined
    : loadInitrd(memory, file, kernelEnd, bzImage?.initrdMax);
  return writeBootParams(memory, { initrd, rsdp, header: bzImage?.header });
}

/**
 * Writes the command line at {@linkcode Layout.COMMAND_LINE}, with a zero at
 * its end.
 *
 * @param limit bytes that the kernel takes, without the zero
 * @throws {KernelError} when it is longer, or has a zero byte inside
 */
export function writeCommandLine(
  memory: GuestMemory,
  line: KernelCommandLine,
  limit = COMMAND_LINE_LIMIT,
): void {
  const room = Math.min(limit, Layout.COMMAND_LINE_MAX - 1);
  memory.write(Layout.COMMAND_LINE, line.encode(room));
}

/**
 * Reads the initrd to the top of low RAM, page aligned: below the MMIO hole,
 * so that its address fits into 32 bits, and as far from the kernel's own
 * early allocations as can be.
 *
 * @param kernelEnd guest address after the kernel's last byte
 * @param highest the highest address that the kernel takes its last byte at
 * @throws {KernelError} when it can't be read, or would overlap the kernel
 * @throws {SystemError} when it can't be opened
 */
export function loadInitrd(
  memory: GuestMemory,
  file: BootFile,
  kernelEnd: number,
  highest: number = Layout.MMIO_HOLE - 1,
): PlacedInitrd {
  using source = new OpenBootFile(file, "initrd");
  const { size } = source;
  const ceiling = Math.min(Layout.MMIO_HOLE, highest + 1);
  const top = Math.min(memory.regions[0]?.end ?? 0, ceiling);
  const lowest = alignUp(Math.max(kernelEnd, Layout.HIGH_MEMORY));
  const address = alignDown(top - size);
  if (address < lowest) {
    const needed = Math.ceil((lowest + alignUp(size)) / MiB);
    throw new KernelError(
      source.label,
      needed * MiB > ceiling
        ? `is too large: ${Math.ceil(size / MiB)} MiB don't fit below ` +
          `${Number((ceiling / GiB).toFixed(2))} GiB`
        : `needs ${needed} MiB of memory together with the kernel but the ` +
          `guest has ${Math.floor(memory.size / MiB)} MiB: --memory`,
    );
  }
  source.read(0, memory.bytes(address, size));
  return { address, size };
}

/**
 * Writes boot_params at {@linkcode Layout.BOOT_PARAMS}; the command line is
 * to be at {@linkcode Layout.COMMAND_LINE}.
 *
 * @returns the guest address of boot_params
 */
export function writeBootParams(
  memory: GuestMemory,
  { initrd, rsdp = 0, header }: BootParamsOptions = {},
): number {
  const params = memory.view(Layout.BOOT_PARAMS, BootParams.SIZE);
  const u8 = (offset: number, value: number) => params.setUint8(offset, value);
  const u16 = (offset: number, value: number) =>
    params.setUint16(offset, value, true);
  const u32 = (offset: number, value: number) =>
    params.setUint32(offset, value, true);

  if (header === undefined) {
    u16(BootParams.BOOT_FLAG, Value.BOOT_FLAG);
    u32(BootParams.HEADER, Value.HEADER);
    u16(BootParams.VERSION, Value.VERSION);
    u16(BootParams.XLOADFLAGS, Value.XLOADFLAGS);
    u32(BootParams.KERNEL_ALIGNMENT, Value.KERNEL_ALIGNMENT);
    u32(BootParams.CMDLINE_SIZE, COMMAND_LINE_LIMIT);
    u32(BootParams.INITRD_ADDR_MAX, Layout.MMIO_HOLE - 1);
  } else {
    memory.write(Layout.BOOT_PARAMS + BootParams.SETUP_HEADER, header);
  }
  // "obligatory" and "write" fields: the loader's, whatever the file says.
  u8(BootParams.TYPE_OF_LOADER, Value.TYPE_OF_LOADER);
  u8(BootParams.LOADFLAGS, Value.LOADFLAGS);
  u32(BootParams.CMD_LINE_PTR, Layout.COMMAND_LINE);
  u32(BootParams.RAMDISK_IMAGE, initrd?.address ?? 0);
  u32(BootParams.RAMDISK_SIZE, initrd?.size ?? 0);
  params.setBigUint64(BootParams.ACPI_RSDP_ADDR, BigInt(rsdp), true);

  const map = memoryMap(memory);
  u8(BootParams.E820_ENTRIES, map.length);
  map.forEach((entry, index) => writeE820(params, entry, index));
  return Layout.BOOT_PARAMS;
}

function writeE820(params: DataView, entry: E820Entry, index: number): void {
  const at = BootParams.E820_TABLE + index * E820Layout.BYTES;
  params.setBigUint64(at + E820Layout.ADDR, BigInt(entry.address), true);
  params.setBigUint64(at + E820Layout.SIZE, BigInt(entry.size), true);
  params.setUint32(at + E820Layout.TYPE, entry.type, true);
}

function alignUp(value: number): number {
  return Math.ceil(value / PAGE) * PAGE;
}

function alignDown(value: number): number {
  return Math.floor(value / PAGE) * PAGE;
}
