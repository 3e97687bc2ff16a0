/**
 * What a kernel is, without booting it: `vireo inspect`.
 *
 * @module
 */
import { type BootFile, OpenBootFile } from "./file.ts";
import {
  type BzImage,
  isBzImage,
  parseBzImage,
  protocolText,
  SETUP_HEADER_END,
  versionText,
  Xlf,
} from "./bzimage.ts";
import type { CompressionFormat } from "./compression.ts";
import {
  bannerOf,
  configBeside,
  embeddedConfig,
  type Feature,
  featuresOf,
  type Presence,
} from "./kconfig.ts";
import type { KernelEntry } from "./entry.ts";
import { KernelError } from "./error.ts";
import { type KernelImage, openKernel } from "./image.ts";
import { GiB } from "../layout.ts";

/** What there is to know about a kernel. Addresses are guest physical. */
export interface KernelReport {
  /** Names the kernel: `kernel "vmlinuz"`. */
  label: string;
  /** `vmlinux` is an ELF file. */
  format: "vmlinux" | "bzImage";
  /** Bytes of the file. */
  size: number;
  /** What was unpacked, outermost first. */
  unpacked: readonly CompressionFormat[];
  /** Release, who built it, when; "" when it doesn't say. */
  version: string;
  /** Where Vireo enters it; undefined when it can't. */
  entry?: KernelEntry;
  /** Why Vireo can't boot it. */
  refusal?: string;
  /** The setup header of a bzImage. */
  bzImage?: BzImageReport;
  /** The kernel's ELF file. */
  elf?: ElfReport;
  /** Where `config` comes from: `embedded`, or the path of a file. */
  configSource?: string;
  /** What is in the kernel, where its configuration is known. */
  config?: Record<Feature, Presence>;
}

/** A bzImage's setup header. Fields are named as in boot.rst. */
export interface BzImageReport {
  /** Boot protocol: `2.15`. */
  protocol: string;
  /** Names of the bits in `xloadflags`. */
  xloadflags: string[];
  /** Where it prefers to run. */
  pref_address: number;
  /** Bytes that its decompressor works in. */
  init_size: number;
  /** Alignment of another place. */
  kernel_alignment: number;
  /** It can run at another place. */
  relocatable_kernel: boolean;
  /** Bytes of command line that it takes. */
  cmdline_size: number;
  /** The highest address of an initrd. */
  initrd_addr_max: number;
  /** Bytes of the compressed kernel. */
  payload_length: number;
}

/** An ELF kernel. */
export interface ElfReport {
  /** Word size. */
  bits: 32 | 64;
  /** Bytes of the ELF file. */
  size: number;
  /** Its entry point. */
  entry: number;
  /** The entry point that its PVH note names. */
  pvhEntry?: number;
  /** Its first byte in memory. */
  lowest: number;
  /** After its last byte in memory. */
  end: number;
}

/** No guest's memory limits what is unpacked to be looked at. */
const LIMIT = 1 * GiB;

/**
 * Looks at `file`. It needs no KVM and no memory of a guest.
 *
 * @throws {KernelError} when it is no kernel at all
 * @throws {SystemError} when it can't be opened
 */
export async function inspectKernel(file: BootFile): Promise<KernelReport> {
  using source = new OpenBootFile(file, "kernel");
  try {
    using image = await openKernel(file, { limit: LIMIT });
    return reportOf(image, source, file);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    const refusal = error.message.replace(`${source.label}: `, "");
    return unbootable(source, refusal) ?? raise(error);
  }
}

function raise(error: Error): never {
  throw error;
}

/** A bzImage whose header can be read tells more than why it is refused. */
function unbootable(
  source: OpenBootFile,
  refusal: string,
): KernelReport | undefined {
  const head = source.head(SETUP_HEADER_END);
  if (!isBzImage(new DataView(head.buffer))) return undefined;
  try {
    const bzImage = parseBzImage(head, source.size, source.label);
    return {
      label: source.label,
      format: "bzImage",
      size: source.size,
      unpacked: [],
      version: versionText(bzImage, source),
      refusal,
      bzImage: bzImageReport(bzImage),
    };
  } catch (error) {
    if (error instanceof KernelError) return undefined;
    throw error;
  }
}

function reportOf(
  image: KernelImage,
  file: OpenBootFile,
  path: BootFile,
): KernelReport {
  const { entry, elf, bzImage, pvhEntry, source, unpacked } = image;
  const report: KernelReport = {
    label: file.label,
    format: bzImage === undefined ? "vmlinux" : "bzImage",
    size: file.size,
    unpacked,
    version: elf === undefined
      ? versionText(bzImage!, source)
      : bannerOf(elf, source),
    entry,
  };
  if (bzImage !== undefined) report.bzImage = bzImageReport(bzImage);
  if (elf !== undefined) {
    report.elf = {
      bits: elf.bits,
      size: source.size,
      entry: elf.entry,
      ...(pvhEntry !== undefined && { pvhEntry }),
      lowest: Math.min(...elf.segments.map(({ address }) => address)),
      end: Math.max(...elf.segments.map((s) => s.address + s.memorySize)),
    };
    const embedded = embeddedConfig(elf, source);
    if (embedded !== undefined) {
      report.configSource = "embedded";
      report.config = featuresOf(embedded);
    }
  }
  if (report.config === undefined && typeof path === "string") {
    const beside = configBeside(path, report.version.split(" ")[0]!);
    if (beside !== undefined) {
      report.configSource = beside.path;
      report.config = featuresOf(beside.text);
    }
  }
  return report;
}

function bzImageReport(image: BzImage): BzImageReport {
  return {
    protocol: protocolText(image.protocol),
    xloadflags: Object.entries(Xlf)
      .filter(([, bit]) => image.xloadflags & bit)
      .map(([name]) => name),
    pref_address: image.preferredAddress,
    init_size: image.initSize,
    kernel_alignment: image.alignment,
    relocatable_kernel: image.relocatable,
    cmdline_size: image.commandLineMax,
    initrd_addr_max: image.initrdMax,
    payload_length: image.payload.size,
  };
}
