/**
 * Puts an ELF kernel into guest memory: read(2) straight to where each
 * segment belongs, without a copy of the file in between.
 *
 * @module
 */
import type { OpenBootFile } from "./file.ts";
import type { ElfKernel, ElfNotes, ElfSegment } from "./elf.ts";
import { KernelError } from "./error.ts";
import { Layout, MiB } from "../layout.ts";
import type { GuestMemory } from "../memory.ts";

/** The guest physical addresses that a kernel takes. */
export interface LoadedElf {
  /** First byte of the lowest segment. */
  lowest: number;
  /** After the last byte of the highest segment, its BSS included. */
  end: number;
}

/** `Elf64_Nhdr`: three u32, then name and descriptor, each padded. */
const Nhdr = { N_NAMESZ: 0, N_DESCSZ: 4, N_TYPE: 8, SIZE: 12 } as const;

/** include/xen/interface/elfnote.h: `XEN_ELFNOTE_PHYS32_ENTRY`. */
const PVH_NOTE = { NAME: "Xen\0", TYPE: 18, SIZE: 4 } as const;

/** Linux's notes are a few hundred bytes; nobody needs more than this. */
const NOTES_MAX = 64 * 1024;

/**
 * Loads the kernel `elf`, whose bytes are in `source`.
 *
 * What a segment has in memory beyond the file (BSS) must be zero. It is: the
 * guest's RAM is fresh anonymous memory, and clearing it would only touch
 * pages that the guest may never use.
 *
 * @throws {KernelError} when RAM is too small for it
 */
export function loadElf(
  memory: GuestMemory,
  { segments }: ElfKernel,
  source: OpenBootFile,
): LoadedElf {
  for (const segment of segments) checkPlacement(memory, segment, source.label);
  for (const { address, fileOffset, fileSize } of segments) {
    if (fileSize === 0) continue;
    source.read(fileOffset, memory.bytes(address, fileSize));
  }
  return {
    lowest: Math.min(...segments.map(({ address }) => address)),
    end: Math.max(...segments.map(endOf)),
  };
}

function endOf({ address, memorySize }: ElfSegment): number {
  return address + memorySize;
}

function checkPlacement(
  memory: GuestMemory,
  segment: ElfSegment,
  label: string,
): void {
  const { index, address } = segment;
  const end = endOf(segment);
  const where = `segment ${index} (0x${address.toString(16)} to ` +
    `0x${end.toString(16)})`;
  if (address < Layout.HIGH_MEMORY) {
    throw new KernelError(
      label,
      `${where} starts below 1 MiB, where the boot data is`,
    );
  }
  if (end > Layout.MMIO_HOLE) {
    throw new KernelError(
      label,
      `${where} reaches beyond 3 GiB, where the devices are`,
    );
  }
  if (memory.find(address, segment.memorySize) === undefined) {
    throw new KernelError(
      label,
      `needs ${Math.ceil(end / MiB)} MiB of memory but the guest has ` +
        `${Math.floor(memory.size / MiB)} MiB: --memory`,
    );
  }
}

/**
 * The 32-bit entry point of the PVH boot protocol, if the kernel has one: a
 * guest physical address inside of a segment.
 */
export function findPvhEntry(
  kernel: ElfKernel,
  source: OpenBootFile,
): number | undefined {
  for (const notes of kernel.notes) {
    const size = Math.min(notes.fileSize, NOTES_MAX);
    if (notes.fileOffset + size > source.size) continue;
    const bytes = new Uint8Array(size);
    source.read(notes.fileOffset, bytes);
    const entry = pvhEntryOf(bytes, notes.alignment);
    // A broken note does no harm to the 64-bit entry: it is as good as none.
    const inside = kernel.segments.some((segment) =>
      entry !== undefined && entry >= segment.address && entry < endOf(segment)
    );
    if (inside) return entry;
  }
  return undefined;
}

/**
 * The physical address in the note `Xen`, type 18: where a PVH kernel wants
 * to be entered in 32-bit protected mode. Undefined when there is none.
 */
export function pvhEntryOf(
  notes: Uint8Array,
  alignment: ElfNotes["alignment"] = 4,
): number | undefined {
  const view = new DataView(notes.buffer, notes.byteOffset, notes.byteLength);
  const padded = (size: number) => Math.ceil(size / alignment) * alignment;
  for (let at = 0; at + Nhdr.SIZE <= notes.length;) {
    const nameSize = view.getUint32(at + Nhdr.N_NAMESZ, true);
    const size = view.getUint32(at + Nhdr.N_DESCSZ, true);
    const name = at + Nhdr.SIZE;
    const descriptor = at + padded(Nhdr.SIZE + nameSize);
    if (descriptor + size > notes.length) return undefined;
    if (
      view.getUint32(at + Nhdr.N_TYPE, true) === PVH_NOTE.TYPE &&
      nameSize === PVH_NOTE.NAME.length && size >= PVH_NOTE.SIZE &&
      String.fromCharCode(...notes.subarray(name, name + nameSize)) ===
        PVH_NOTE.NAME
    ) {
      // 4 or 8 bytes by the kernel's word size, but a 32-bit address.
      return view.getUint32(descriptor, true);
    }
    at = descriptor + padded(size);
  }
  return undefined;
}
