/**
 * ELF kernels (`vmlinux`): the headers as plain data. Layouts are those of
 * the System V ABI, "Object Files"; names are C's from <elf.h>. A 32-bit file
 * is read too: with a PVH note it can be booted.
 *
 * A kernel file is hostile input: every number in it is checked here, and
 * placement in RAM is checked in `elf_loader.ts`.
 *
 * @module
 */
import { KernelError } from "./error.ts";

/** Bytes from the start of the file that {@linkcode parseElf} wants to see. */
export const ELF_HEADER_MAX = 16 * 1024;

/** A `PT_LOAD` segment: where its bytes are, and where they go. */
export interface ElfSegment {
  /** Its number among the program headers, for messages. */
  index: number;
  /** Offset of its bytes in the file. */
  fileOffset: number;
  /** Bytes in the file. */
  fileSize: number;
  /** Guest physical address. */
  address: number;
  /** Bytes in memory; those beyond `fileSize` are zero. */
  memorySize: number;
}

/** A `PT_NOTE` segment: where to look for the PVH entry. */
export interface ElfNotes {
  /** Offset in the file. */
  fileOffset: number;
  /** Bytes in the file. */
  fileSize: number;
  /** Alignment of the notes' parts: 4, or 8 in some. */
  alignment: number;
}

/** What the headers of a kernel say. */
export interface ElfKernel {
  /** Bits per word: the mode that `entry` is for. */
  bits: 32 | 64;
  /** Guest physical address of the entry point. */
  entry: number;
  /**
   * The header gives `entry` as a virtual address. Linux doesn't: such a
   * kernel wants page tables that its own boot loader makes.
   */
  entryIsVirtual: boolean;
  /** What to load; at least one, none of zero size. */
  segments: ElfSegment[];
  /** Where the notes are. */
  notes: ElfNotes[];
}

/** `e_ident` and the fields that both word sizes have in the same place. */
const Ident = {
  EI_CLASS: 4,
  EI_DATA: 5,
  E_TYPE: 16,
  E_MACHINE: 18,
  E_ENTRY: 24,
} as const;

/** Where `Elf32_Ehdr` and `Elf32_Phdr` differ from their 64-bit forms. */
const Elf32 = {
  bits: 32,
  machine: 3, // EM_386
  word: 4,
  ehdr: { E_PHOFF: 28, E_PHENTSIZE: 42, E_PHNUM: 44, SIZE: 52 },
  phdr: {
    P_TYPE: 0,
    P_OFFSET: 4,
    P_VADDR: 8,
    P_PADDR: 12,
    P_FILESZ: 16,
    P_MEMSZ: 20,
    P_ALIGN: 28,
    SIZE: 32,
  },
} as const;

/** `Elf64_Ehdr`, `Elf64_Phdr`. */
const Elf64 = {
  bits: 64,
  machine: 62, // EM_X86_64
  word: 8,
  ehdr: { E_PHOFF: 32, E_PHENTSIZE: 54, E_PHNUM: 56, SIZE: 64 },
  phdr: {
    P_TYPE: 0,
    P_OFFSET: 8,
    P_VADDR: 16,
    P_PADDR: 24,
    P_FILESZ: 32,
    P_MEMSZ: 40,
    P_ALIGN: 48,
    SIZE: 56,
  },
} as const;

type Format = typeof Elf32 | typeof Elf64;

const ELF_MAGIC = 0x7f454c46; // "\x7fELF", read big-endian
const ELFCLASS32 = 1;
const ELFCLASS64 = 2;
const ELFDATA2LSB = 1;
const ET_EXEC = 2;
const ET_DYN = 3;
const PT_LOAD = 1;
const PT_NOTE = 4;

/** vmlinux has about five; more than this is nonsense. */
const PHNUM_MAX = 128;

/**
 * x86 has at most 52 physical address bits, and no file is larger: numbers
 * below this add without loss.
 */
const PLAUSIBLE = 2 ** 52;

/** A segment and the virtual address that the entry may be given as. */
interface LinkedSegment extends ElfSegment {
  virtualAddress: bigint;
}

/**
 * Reads the ELF header and the program headers.
 *
 * @param header the file's first bytes, {@linkcode ELF_HEADER_MAX} or all
 * @param fileSize the size of the whole file
 * @param label names the kernel in errors: `kernel "vmlinux"`
 * @throws {KernelError} when this is no kernel that Vireo can boot
 */
export function parseElf(
  header: Uint8Array,
  fileSize: number,
  label = "kernel",
): ElfKernel {
  const view = new DataView(
    header.buffer,
    header.byteOffset,
    header.byteLength,
  );
  const refuse = (reason: string) => new KernelError(label, reason);
  const format = identify(view, fileSize, refuse);
  const table = programHeaders(view, format, fileSize, refuse);

  const { P_TYPE, P_OFFSET, P_FILESZ, P_ALIGN } = format.phdr;
  const segments: LinkedSegment[] = [];
  const notes: ElfNotes[] = [];
  table.forEach((phdr, index) => {
    const type = phdr.getUint32(P_TYPE, true);
    if (type === PT_LOAD) {
      const segment = loadSegment(phdr, format, index, fileSize, refuse);
      if (segment.memorySize > 0) segments.push(segment);
    } else if (type === PT_NOTE) {
      notes.push({
        fileOffset: Number(word(phdr, P_OFFSET, format)),
        fileSize: Number(word(phdr, P_FILESZ, format)),
        alignment: word(phdr, P_ALIGN, format) === 8n ? 8 : 4,
      });
    }
  });
  if (segments.length === 0) throw refuse("has no segment to load");
  const entry = word(view, Ident.E_ENTRY, format);
  return {
    bits: format.bits,
    ...physicalEntry(entry, segments, refuse),
    segments: segments.map(({ virtualAddress: _, ...segment }) => segment),
    notes,
  };
}

/** An address, offset or size: 4 or 8 bytes. */
function word(
  view: DataView,
  offset: number,
  format: Pick<Format, "word">,
): bigint {
  return format.word === 8
    ? view.getBigUint64(offset, true)
    : BigInt(view.getUint32(offset, true));
}

type Refuse = (reason: string) => KernelError;

function identify(view: DataView, fileSize: number, refuse: Refuse): Format {
  if (!isElf(view)) throw refuse("is not an ELF file");
  const truncated = (size: number) =>
    refuse(
      `is truncated: the ELF header has ${size} bytes ` +
        `but the file has ${fileSize}`,
    );
  if (view.byteLength < Elf32.ehdr.SIZE) throw truncated(Elf64.ehdr.SIZE);
  const elfClass = view.getUint8(Ident.EI_CLASS);
  if (elfClass !== ELFCLASS32 && elfClass !== ELFCLASS64) {
    throw refuse(`has ELF class ${elfClass}`);
  }
  const format = elfClass === ELFCLASS64 ? Elf64 : Elf32;
  if (view.byteLength < format.ehdr.SIZE) throw truncated(format.ehdr.SIZE);
  const data = view.getUint8(Ident.EI_DATA);
  if (data !== ELFDATA2LSB) throw refuse("is not a little-endian ELF");
  const machine = view.getUint16(Ident.E_MACHINE, true);
  if (machine !== format.machine) {
    throw refuse(
      `is for another machine (${format.bits}-bit ELF machine ${machine}, ` +
        `not ${format.machine}, x86)`,
    );
  }
  const type = view.getUint16(Ident.E_TYPE, true);
  if (type !== ET_EXEC && type !== ET_DYN) {
    throw refuse(`is not an executable (ELF type ${type})`);
  }
  return format;
}

/** Whether a file that begins like this is an ELF file. */
export function isElf(header: DataView): boolean {
  return header.byteLength >= 4 && header.getUint32(0) === ELF_MAGIC;
}

function programHeaders(
  view: DataView,
  { ehdr, phdr, ...format }: Format,
  fileSize: number,
  refuse: Refuse,
): DataView[] {
  const count = view.getUint16(ehdr.E_PHNUM, true);
  const entrySize = view.getUint16(ehdr.E_PHENTSIZE, true);
  if (count === 0) throw refuse("has no segment to load");
  if (count > PHNUM_MAX) {
    throw refuse(`has ${count} program headers, more than ${PHNUM_MAX}`);
  }
  if (entrySize !== phdr.SIZE) {
    throw refuse(
      `has program headers of ${entrySize} bytes, not ${phdr.SIZE}`,
    );
  }
  const start = Number(word(view, ehdr.E_PHOFF, format));
  const end = start + count * phdr.SIZE;
  if (end > fileSize) {
    throw refuse(
      `is truncated: the program headers end at byte ${end} ` +
        `but the file has ${fileSize}`,
    );
  }
  if (end > view.byteLength) {
    throw refuse(
      `has program headers up to byte ${end}; ` +
        `Vireo looks for them in the first ${ELF_HEADER_MAX}`,
    );
  }
  return Array.from(
    { length: count },
    (_, i) =>
      new DataView(
        view.buffer,
        view.byteOffset + start + i * phdr.SIZE,
        phdr.SIZE,
      ),
  );
}

function loadSegment(
  view: DataView,
  format: Format,
  index: number,
  fileSize: number,
  refuse: Refuse,
): LinkedSegment {
  const field = (offset: number, name: string): number => {
    const value = word(view, offset, format);
    if (value < PLAUSIBLE) return Number(value);
    throw refuse(`segment ${index} has ${name} 0x${value.toString(16)}`);
  };
  const { P_OFFSET, P_FILESZ, P_PADDR, P_MEMSZ, P_VADDR } = format.phdr;
  const segment: LinkedSegment = {
    index,
    fileOffset: field(P_OFFSET, "file offset"),
    fileSize: field(P_FILESZ, "file size"),
    address: field(P_PADDR, "physical address"),
    memorySize: field(P_MEMSZ, "memory size"),
    virtualAddress: word(view, P_VADDR, format),
  };
  if (segment.memorySize < segment.fileSize) {
    throw refuse(
      `segment ${index} has ${segment.fileSize} bytes in the file ` +
        `but only ${segment.memorySize} in memory`,
    );
  }
  const end = segment.fileOffset + segment.fileSize;
  if (segment.fileSize > 0 && end > fileSize) {
    throw refuse(
      `is truncated: segment ${index} ends at byte ${end} ` +
        `but the file has ${fileSize}`,
    );
  }
  return segment;
}

/**
 * Linux links `e_entry` as a physical address already; other kernels give
 * the virtual one, which the segment that holds it translates.
 */
function physicalEntry(
  entry: bigint,
  segments: readonly LinkedSegment[],
  refuse: Refuse,
): Pick<ElfKernel, "entry" | "entryIsVirtual"> {
  for (const { address, memorySize } of segments) {
    if (entry >= address && entry < address + memorySize) {
      return { entry: Number(entry), entryIsVirtual: false };
    }
  }
  for (const { virtualAddress, address, memorySize } of segments) {
    const offset = entry - virtualAddress;
    if (offset >= 0n && offset < memorySize) {
      return { entry: address + Number(offset), entryIsVirtual: true };
    }
  }
  throw refuse(`entry 0x${entry.toString(16)} is outside of every segment`);
}
