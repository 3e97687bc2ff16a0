/**
 * What kind of kernel a file is, told by its contents, and how it will be
 * entered. Compressed kernels are unpacked here, before the guest starts.
 *
 * @module
 */
import { type BootFile, OpenBootFile } from "./file.ts";
import {
  type BzImage,
  isBzImage,
  parseBzImage,
  SETUP_HEADER_END,
  Xlf,
} from "./bzimage.ts";
import { type CompressionFormat, compressionOf } from "./compression.ts";
import { ELF_HEADER_MAX, type ElfKernel, isElf, parseElf } from "./elf.ts";
import { findPvhEntry } from "./elf_loader.ts";
import type { KernelEntry } from "./entry.ts";
import { KernelError } from "./error.ts";
import type { Packed, UnpackOptions } from "./unpack.ts";

/** A kernel that can be loaded. */
export interface KernelImage extends Disposable {
  /** How it will be entered. */
  readonly entry: KernelEntry;
  /** The bytes to load: the file, or what was unpacked from it. */
  readonly source: OpenBootFile;
  /** What was unpacked to get there, outermost first. */
  readonly unpacked: readonly CompressionFormat[];
  /** The file is or was a bzImage. */
  readonly bzImage?: BzImage;
  /** The ELF file in `source`; with the entry `bzimage` there is none. */
  readonly elf?: ElfKernel;
  /** Guest address of the PVH entry, if there is one. */
  readonly pvhEntry?: number;
}

/** How to open a kernel. */
export interface OpenKernelOptions extends UnpackOptions {
  /** Where to enter it; without, what suits the kernel. */
  entry?: KernelEntry;
  /** Told why a bzImage is left to its own decompressor. */
  onFallback?(reason: string): void;
}

/** A file in a file in a file: nobody packs kernels deeper. */
const LAYERS_MAX = 3;

/** The appended size of what is packed, a little-endian u32. */
const SIZE_BYTES = 4;

/**
 * Opens `file`, and unpacks the kernel that is in it.
 *
 * @throws {KernelError} when it is no kernel that can be booted so
 * @throws {SystemError} when the file can't be opened
 */
export async function openKernel(
  file: BootFile,
  options: OpenKernelOptions,
): Promise<KernelImage> {
  using stack = new DisposableStack();
  let source = stack.use(new OpenBootFile(file, "kernel"));
  const unpacked: CompressionFormat[] = [];
  for (let layer = 0; layer < LAYERS_MAX; layer++) {
    const head = source.head(ELF_HEADER_MAX);
    const view = new DataView(head.buffer);
    const image = isElf(view)
      ? openElf(source, unpacked, options)
      : isBzImage(view)
      ? await openBzImage(source, unpacked, options)
      : undefined;
    if (image !== undefined) {
      // An unpacked image needs no file any more; closing is its own matter.
      const files = stack.move();
      return { ...image, [Symbol.dispose]: () => files.dispose() };
    }
    const compression = compressionOf(head);
    if (compression === undefined) throw noKernel(source, head);
    const packed = { compression, offset: 0, size: source.size };
    const bytes = await unpack(source, packed, options);
    source = new OpenBootFile(bytes, "kernel", source.label);
    unpacked.push(compression);
  }
  throw new KernelError(source.label, "is packed too often to be a kernel");
}

/** "MZ", with which programs for DOS and UEFI begin. */
const MZ = 0x5a4d;

function noKernel({ label }: OpenBootFile, head: Uint8Array): KernelError {
  const program = (head[0]! | head[1]! << 8) === MZ;
  return new KernelError(
    label,
    program
      ? "is a UEFI program, and Vireo has no UEFI: boot the bzImage in it"
      : "is no kernel: Vireo boots vmlinux (64-bit ELF), bzImage and PVH " +
        "kernels, also compressed",
  );
}

type Opened = Omit<KernelImage, typeof Symbol.dispose>;

function openElf(
  source: OpenBootFile,
  unpacked: readonly CompressionFormat[],
  { entry }: Pick<OpenKernelOptions, "entry">,
  bzImage?: BzImage,
): Opened {
  const refuse = (reason: string) => new KernelError(source.label, reason);
  const head = source.head(ELF_HEADER_MAX);
  const elf = parseElf(head, source.size, source.label);
  const pvhEntry = findPvhEntry(elf, source);
  const opened = { source, unpacked, bzImage, elf, pvhEntry };
  if (entry === "bzimage") {
    throw refuse("is an ELF file, no bzImage: it has no decompressor to enter");
  }
  if (entry === "pvh" && pvhEntry === undefined) {
    throw refuse("has no PVH note that names an entry (CONFIG_PVH)");
  }
  if (elf.bits === 32 && pvhEntry === undefined) {
    throw refuse("is a 32-bit kernel (Vireo boots 64-bit ones, and PVH)");
  }
  if (elf.bits === 32 && entry === "vmlinux") {
    throw refuse("is a 32-bit ELF file: it has no 64-bit entry, only PVH's");
  }
  // A virtual entry address is for a boot loader that makes page tables.
  const prefersPvh = elf.bits === 32 || elf.entryIsVirtual;
  const chosen = prefersPvh && pvhEntry !== undefined ? "pvh" : "vmlinux";
  return { ...opened, entry: entry ?? chosen };
}

async function openBzImage(
  source: OpenBootFile,
  unpacked: readonly CompressionFormat[],
  options: OpenKernelOptions,
): Promise<Opened> {
  const refuse = (reason: string) => new KernelError(source.label, reason);
  const head = source.head(SETUP_HEADER_END);
  const bzImage = parseBzImage(head, source.size, source.label);
  const enters64 = (bzImage.xloadflags & Xlf.KERNEL_64) !== 0;
  const own: Opened = { entry: "bzimage", source, unpacked, bzImage };
  // xloadflags came with 2.12; before, only the payload tells.
  if (!enters64 && bzImage.protocol >= 0x020c) {
    throw refuse("is a 32-bit kernel (no XLF_KERNEL_64; Vireo boots 64-bit)");
  }
  if (options.entry === "bzimage") {
    if (enters64) return own;
    throw refuse("has no 64-bit entry (its boot protocol is before 2.12)");
  }
  const packed = payloadOf(bzImage, source, options.limit);
  if (packed === undefined) {
    if (enters64 && options.entry === undefined) return own;
    throw refuse("has no payload that could be unpacked on the host");
  }
  try {
    const bare = packed instanceof Uint8Array;
    const bytes = bare ? packed : await unpack(source, packed, options);
    const inner = new OpenBootFile(bytes, "kernel", source.label);
    const layers = bare ? unpacked : [...unpacked, packed.compression];
    return openElf(inner, layers, options, bzImage);
  } catch (error) {
    const mayFallBack = error instanceof KernelError &&
      error.name === "DecoderMissing" && enters64 &&
      options.entry === undefined;
    if (!mayFallBack) throw error;
    options.onFallback?.(`${error.message}; the guest unpacks it instead`);
    return own;
  }
}

/** Not a literal in `import()`: that is read at the start, needed or not. */
const UNPACK = new URL("./unpack.ts", import.meta.url).href;

/** A kernel that isn't packed starts without the modules that unpack. */
async function unpack(
  source: OpenBootFile,
  packed: Packed,
  options: UnpackOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const module: typeof import("./unpack.ts") = await import(UNPACK);
  return await module.unpack(source, packed, options);
}

/** The kernel inside of a bzImage: packed, bare, or in no form that we know. */
function payloadOf(
  { payload: { offset, size } }: BzImage,
  source: OpenBootFile,
  limit: number,
): Packed | Uint8Array<ArrayBuffer> | undefined {
  if (size <= SIZE_BYTES || size > limit) return undefined;
  const begin = source.slice(offset, Math.min(size, 16));
  if (isElf(new DataView(begin.buffer))) {
    return source.slice(offset, size);
  }
  const compression = compressionOf(begin);
  if (compression === undefined) return undefined;
  const end = source.slice(offset + size - SIZE_BYTES, SIZE_BYTES);
  const unpackedSize = new DataView(end.buffer).getUint32(0, true);
  // gzip ends with the size itself; Linux's build appends it to the others.
  const ownSize = compression === "gzip" ? size : size - SIZE_BYTES;
  return { compression, offset, size: ownSize, unpackedSize };
}
