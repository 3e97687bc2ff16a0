/**
 * bzImage: the Linux kernel with its own decompressor in front. Names and
 * meanings are those of Documentation/arch/x86/boot.rst.
 *
 * @module
 */
import { KernelError } from "./error.ts";
import { Layout, MiB } from "../layout.ts";
import type { GuestMemory } from "../memory.ts";
import type { OpenBootFile } from "./file.ts";

/** Bytes from the start of the file that hold the setup header. */
export const SETUP_HEADER_END = 0x290;

/** `struct setup_header`, by offset in the file; the year's protocol behind. */
const Header = {
  SETUP_SECTS: 0x1f1,
  SYSSIZE: 0x1f4,
  BOOT_FLAG: 0x1fe,
  /** The length of a short jump: the header ends where it goes. */
  JUMP_LENGTH: 0x201,
  HEADER: 0x202,
  VERSION: 0x206,
  KERNEL_VERSION: 0x20e,
  LOADFLAGS: 0x211,
  INITRD_ADDR_MAX: 0x22c, // 2.03
  KERNEL_ALIGNMENT: 0x230, // 2.05
  RELOCATABLE_KERNEL: 0x234, // 2.05
  XLOADFLAGS: 0x236, // 2.12
  CMDLINE_SIZE: 0x238, // 2.06
  PAYLOAD_OFFSET: 0x248, // 2.08
  PAYLOAD_LENGTH: 0x24c, // 2.08
  PREF_ADDRESS: 0x258, // 2.10
  INIT_SIZE: 0x260, // 2.10
} as const;

const HDRS = 0x53726448; // "HdrS", little-endian
const SECTOR = 512;
/** What 0 sectors of setup code mean. */
const SETUP_SECTS_DEFAULT = 4;
const PARAGRAPH = 16;

/** Protocol 2.06: the first whose command line has a length. */
const OLDEST = 0x0206;

const LOADED_HIGH = 1;

/** Bits of `xloadflags`. */
export const Xlf = {
  KERNEL_64: 1 << 0,
  CAN_BE_LOADED_ABOVE_4G: 1 << 1,
  EFI_HANDOVER_32: 1 << 2,
  EFI_HANDOVER_64: 1 << 3,
  EFI_KEXEC: 1 << 4,
  "5LEVEL": 1 << 5,
  "5LEVEL_ENABLED": 1 << 6,
} as const;

/** Where the 64-bit entry is, from the load address on. */
const ENTRY_64 = 0x200;

/** The longest version text worth printing. */
const VERSION_TEXT_MAX = 256;

/** What the setup header says. Fields that its protocol lacks are 0. */
export interface BzImage {
  /** The setup header itself, from offset 0x1f1 on: it goes to boot_params. */
  header: Uint8Array<ArrayBuffer>;
  /** Boot protocol: 0x020f is 2.15. */
  protocol: number;
  /** Offset of the version text in the file, or 0. */
  versionOffset: number;
  /** Where the protected-mode code begins in the file. */
  codeOffset: number;
  /** Bytes of protected-mode code. */
  codeSize: number;
  /** Highest address that the initrd may take. */
  initrdMax: number;
  /** `kernel_alignment`, a power of two. */
  alignment: number;
  /** `relocatable_kernel`. */
  relocatable: boolean;
  /** `xloadflags`: see {@linkcode Xlf}. */
  xloadflags: number;
  /** Bytes of command line, without the zero. */
  commandLineMax: number;
  /** The compressed kernel: offset and bytes in the file; 0 without. */
  payload: { offset: number; size: number };
  /** `pref_address`. */
  preferredAddress: number;
  /** `init_size`: memory that the decompressor works in. */
  initSize: number;
}

/** Whether a file that begins like this has a setup header. */
export function isBzImage(header: DataView): boolean {
  return header.byteLength >= Header.HEADER + 4 &&
    header.getUint32(Header.HEADER, true) === HDRS;
}

/**
 * Reads the setup header.
 *
 * @param head the file's first {@linkcode SETUP_HEADER_END} bytes, or all
 * @param fileSize the size of the whole file
 * @param label names the kernel in errors
 * @throws {KernelError} when it can't be booted
 */
export function parseBzImage(
  head: Uint8Array,
  fileSize: number,
  label: string,
): BzImage {
  const refuse = (reason: string) => new KernelError(label, reason);
  // Its own copy, so that what lies behind the end reads as 0.
  const bytes = new Uint8Array(SETUP_HEADER_END);
  bytes.set(head.subarray(0, SETUP_HEADER_END));
  const jump = Header.HEADER + bytes[Header.JUMP_LENGTH]!;
  const end = Math.min(jump, SETUP_HEADER_END);
  if (head.length < end) {
    throw refuse(
      `is truncated: the setup header ends at byte ${end} ` +
        `but the file has ${fileSize}`,
    );
  }
  bytes.fill(0, end);
  const view = new DataView(bytes.buffer);
  const u16 = (offset: number) => view.getUint16(offset, true);
  const u32 = (offset: number) => view.getUint32(offset, true);

  const protocol = u16(Header.VERSION);
  if (protocol < OLDEST) {
    throw refuse(
      `speaks boot protocol ${protocolText(protocol)}, a 16-bit real-mode ` +
        "program that wants a BIOS (Vireo boots 64-bit kernels, 2.06 and later)",
    );
  }
  if ((view.getUint8(Header.LOADFLAGS) & LOADED_HIGH) === 0) {
    throw refuse("is a zImage, to be loaded below 1 MiB: make a bzImage");
  }
  const sectors = view.getUint8(Header.SETUP_SECTS) || SETUP_SECTS_DEFAULT;
  const codeOffset = (sectors + 1) * SECTOR;
  const wanted = u32(Header.SYSSIZE) * PARAGRAPH;
  const there = fileSize - codeOffset;
  // syssize is rounded up, and not every build pads the file.
  if (there <= 0 || there <= wanted - PARAGRAPH) {
    throw refuse(
      `is truncated: the kernel ends at byte ${codeOffset + wanted} ` +
        `but the file has ${fileSize}`,
    );
  }
  const codeSize = wanted === 0 ? there : Math.min(wanted, there);
  const payload = {
    offset: codeOffset + u32(Header.PAYLOAD_OFFSET),
    size: u32(Header.PAYLOAD_LENGTH),
  };
  if (payload.offset + payload.size > codeOffset + codeSize) {
    throw refuse(
      `has a payload up to byte ${payload.offset + payload.size}, ` +
        `but the kernel ends at byte ${codeOffset + codeSize}`,
    );
  }
  const versionText = u16(Header.KERNEL_VERSION);
  return {
    header: bytes.slice(Header.SETUP_SECTS, end),
    protocol,
    versionOffset: versionText === 0 ? 0 : SECTOR + versionText,
    codeOffset,
    codeSize,
    initrdMax: u32(Header.INITRD_ADDR_MAX),
    alignment: u32(Header.KERNEL_ALIGNMENT),
    relocatable: view.getUint8(Header.RELOCATABLE_KERNEL) !== 0,
    xloadflags: u16(Header.XLOADFLAGS),
    commandLineMax: u32(Header.CMDLINE_SIZE),
    payload: payload.size === 0 ? { offset: 0, size: 0 } : payload,
    preferredAddress: Number(view.getBigUint64(Header.PREF_ADDRESS, true)),
    initSize: u32(Header.INIT_SIZE),
  };
}

/** `2.15` for 0x020f. */
export function protocolText(protocol: number): string {
  return `${protocol >> 8}.${String(protocol & 0xff).padStart(2, "0")}`;
}

/** The version that `uname -rv` will say, and who built it; "" without. */
export function versionText(image: BzImage, source: OpenBootFile): string {
  const { versionOffset } = image;
  if (versionOffset === 0 || versionOffset >= source.size) return "";
  const size = Math.min(VERSION_TEXT_MAX, source.size - versionOffset);
  const bytes = source.slice(versionOffset, size);
  const end = bytes.indexOf(0);
  const text = new TextDecoder("latin1").decode(bytes.subarray(0, end));
  return end < 0 || /[^ -~]/.test(text) ? "" : text.trim();
}

/**
 * Loads the protected-mode code where the kernel prefers to be, and enters
 * it where its own decompressor begins.
 *
 * @returns guest addresses: first byte, end of `init_size`, 64-bit entry
 * @throws {KernelError} when it has no 64-bit entry, or RAM is too small
 */
export function loadBzImage(
  memory: GuestMemory,
  image: BzImage,
  source: OpenBootFile,
): { lowest: number; end: number; entry: number } {
  const refuse = (reason: string) => new KernelError(source.label, reason);
  if ((image.xloadflags & Xlf.KERNEL_64) === 0) {
    throw refuse(
      "has no 64-bit entry (XLF_KERNEL_64): Vireo boots 64-bit kernels",
    );
  }
  const address = loadAddress(image);
  const size = Math.max(image.initSize, image.codeSize);
  const end = address + size;
  if (address < Layout.HIGH_MEMORY || end > Layout.MMIO_HOLE) {
    throw refuse(
      `wants to be loaded from 0x${address.toString(16)} to ` +
        `0x${end.toString(16)}, and there is memory from 1 MiB to 3 GiB`,
    );
  }
  if (memory.find(address, size) === undefined) {
    throw refuse(
      `needs ${Math.ceil(end / MiB)} MiB of memory but the guest has ` +
        `${Math.floor(memory.size / MiB)} MiB: --memory`,
    );
  }
  if (image.codeSize <= ENTRY_64) {
    throw refuse(`is truncated: it has ${image.codeSize} bytes of code`);
  }
  source.read(image.codeOffset, memory.bytes(address, image.codeSize));
  return { lowest: address, end, entry: address + ENTRY_64 };
}

/**
 * `pref_address` is where the kernel will run. A relocatable one that is
 * loaded lower moves itself up there, so nothing is gained by another place.
 */
function loadAddress(image: BzImage): number {
  const { preferredAddress, relocatable, alignment } = image;
  const address = Math.max(preferredAddress, Layout.HIGH_MEMORY);
  if (!relocatable || alignment === 0) return address;
  return Math.ceil(address / alignment) * alignment;
}
