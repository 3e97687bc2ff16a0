/**
 * A kernel's own configuration: the copy that `CONFIG_IKCONFIG` puts into it,
 * or the file that distributions put beside it.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import type { OpenBootFile } from "./file.ts";
import type { ElfKernel } from "./elf.ts";

/** How a part of the kernel is there. */
export type Presence = "built in" | "module" | "absent";

/** What Vireo's guests may need, and the option that brings it. */
export const FEATURES = {
  "serial console": "SERIAL_8250_CONSOLE",
  "virtio-mmio": "VIRTIO_MMIO",
  "virtio-mmio.device=": "VIRTIO_MMIO_CMDLINE_DEVICES",
  "virtio-pci": "VIRTIO_PCI",
  "virtio-blk": "VIRTIO_BLK",
  "virtio-net": "VIRTIO_NET",
  "virtio-console": "VIRTIO_CONSOLE",
  "virtio-rng": "HW_RANDOM_VIRTIO",
  "virtio-balloon": "VIRTIO_BALLOON",
  "virtio-vsock": "VIRTIO_VSOCKETS",
  "ACPI": "ACPI",
  "PCI": "PCI",
  "PVH entry": "PVH",
  "KVM guest": "KVM_GUEST",
  "SMP": "SMP",
  "modules": "MODULES",
  "initrd": "BLK_DEV_INITRD",
  "devtmpfs": "DEVTMPFS",
  "ext4": "EXT4_FS",
  "ip=": "IP_PNP",
} as const;

/** A name in {@linkcode FEATURES}. */
export type Feature = keyof typeof FEATURES;

const BEGIN = Buffer.from("IKCFG_ST");
const END = Buffer.from("IKCFG_ED");
/** Distributions' are 250 KiB. */
const CONFIG_MAX = 4 * 1024 * 1024;
const PIECE = 1024 * 1024;

/** Which features the text of a `.config` has. */
export function featuresOf(config: string): Record<Feature, Presence> {
  const set = new Map<string, string>();
  for (const [, name, value] of config.matchAll(/^CONFIG_(\w+)=([ym])$/gm)) {
    set.set(name!, value!);
  }
  const presence = (option: string): Presence =>
    set.get(option) === "y"
      ? "built in"
      : set.get(option) === "m"
      ? "module"
      : "absent";
  return Object.fromEntries(
    Object.entries(FEATURES).map(([name, option]) => [name, presence(option)]),
  ) as Record<Feature, Presence>;
}

/** The configuration inside of a kernel, or undefined. */
export function embeddedConfig(
  elf: ElfKernel,
  source: OpenBootFile,
): string | undefined {
  const [at] = occurrences(elf, source, BEGIN);
  if (at === undefined) return undefined;
  const begin = at + BEGIN.length;
  const size = Math.min(CONFIG_MAX, source.size - begin);
  const bytes = Buffer.from(source.slice(begin, size).buffer);
  const end = bytes.indexOf(END);
  if (end < 0) return undefined;
  try {
    const text = gunzipSync(bytes.subarray(0, end), {
      maxOutputLength: CONFIG_MAX,
    });
    return new TextDecoder().decode(text);
  } catch {
    return undefined; // as good as none
  }
}

/** `/boot/config-6.1.0` beside `/boot/vmlinuz-6.1.0`: its path and text. */
export function configBeside(
  kernel: string,
  release: string,
): { path: string; text: string } | undefined {
  if (!/^[\w.+~-]+$/.test(release)) return undefined;
  const path = join(dirname(kernel), `config-${release}`);
  try {
    const { isFile, size } = Deno.statSync(path);
    if (!isFile || size > CONFIG_MAX) return undefined;
    return { path, text: Deno.readTextFileSync(path) };
  } catch {
    return undefined;
  }
}

const BANNER = Buffer.from("Linux version ");
/** The longest version text worth printing. */
const BANNER_MAX = 512;

/**
 * What follows "Linux version" in a kernel's banner, or "". The build links
 * an earlier banner too, without its number: the last one is the true one.
 */
export function bannerOf(elf: ElfKernel, source: OpenBootFile): string {
  const at = occurrences(elf, source, BANNER).at(-1);
  if (at === undefined) return "";
  const begin = at + BANNER.length;
  const bytes = source.slice(begin, Math.min(BANNER_MAX, source.size - begin));
  const text = new TextDecoder("latin1").decode(bytes);
  return /^[ -~]*/.exec(text)![0].trim();
}

/** The offsets in the file of `pattern` within what is loaded. */
function occurrences(
  { segments }: ElfKernel,
  source: OpenBootFile,
  pattern: Buffer,
): number[] {
  const offsets: number[] = [];
  for (const { fileOffset, fileSize } of segments) {
    const end = fileOffset + fileSize;
    // Pieces overlap: the pattern may lie across their border.
    for (let at = fileOffset; at < end; at += PIECE) {
      const size = Math.min(PIECE + pattern.length - 1, end - at);
      const piece = Buffer.from(source.slice(at, size).buffer);
      let found = piece.indexOf(pattern);
      for (; found >= 0; found = piece.indexOf(pattern, found + 1)) {
        offsets.push(at + found);
      }
    }
  }
  return offsets;
}
