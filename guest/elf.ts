/**
 * ELF64 kernels (`vmlinux`): the headers as plain data. Layouts are those of
 * the System V ABI, "Object Files"; names are C's from <elf.h>.
 *
 * A kernel file is hostile input: every number in it is checked here, and
 * placement in RAM is checked in `elf_loader.ts`.
 *
 * @module
 */
import { KernelError } from "./kernel_error.ts";

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

/** What the headers of a 64-bit kernel say. */
export interface ElfKernel {
  /** Guest physical address of the 64-bit entry point. */
  entry: number;
  /** What to load; at least one, none of zero size. */
  segments: ElfSegment[];
  /** Where the notes are. */
  notes: ElfNotes[];
}

/** `Elf64_Ehdr`: `e_ident` bytes, then fields. */
const Ehdr = {
  EI_CLASS: 4,
  EI_DATA: 5,
  E_TYPE: 16,
  E_MACHINE: 18,
  E_ENTRY: 24,
  E_PHOFF: 32,
  E_PHENTSIZE: 54,
  E_PHNUM: 56,
  SIZE: 64,
} as const;

/** `Elf64_Phdr`. */
const Phdr = {
  P_TYPE: 0,
  P_OFFSET: 8,
  P_VADDR: 16,
  P_PADDR: 24,
  P_FILESZ: 32,
  P_MEMSZ: 40,
  P_ALIGN: 48,
  SIZE: 56,
} as const;

const ELF_MAGIC = 0x7f454c46; // "\x7fELF", read big-endian
const ELFCLASS32 = 1;
const ELFCLASS64 = 2;
const ELFDATA2LSB = 1;
const ET_EXEC = 2;
const ET_DYN = 3;
const EM_X86_64 = 62;
const PT_LOAD = 1;
const PT_NOTE = 4;

/** vmlinux has about five; more than this is nonsense. */
const PHNUM_MAX = 128;

/** Documentation/arch/x86/boot.rst, field `header`. */
const BZIMAGE = { MAGIC_OFFSET: 0x202, MAGIC: 0x53726448 } as const;

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
  checkIdentity(view, fileSize, refuse);
  const table = programHeaders(view, fileSize, refuse);

  const segments: LinkedSegment[] = [];
  const notes: ElfNotes[] = [];
  table.forEach((phdr, index) => {
    const type = phdr.getUint32(Phdr.P_TYPE, true);
    if (type === PT_LOAD) {
      const segment = loadSegment(phdr, index, fileSize, refuse);
      if (segment.memorySize > 0) segments.push(segment);
    } else if (type === PT_NOTE) {
      notes.push({
        fileOffset: Number(phdr.getBigUint64(Phdr.P_OFFSET, true)),
        fileSize: Number(phdr.getBigUint64(Phdr.P_FILESZ, true)),
        alignment: phdr.getBigUint64(Phdr.P_ALIGN, true) === 8n ? 8 : 4,
      });
    }
  });
  if (segments.length === 0) throw refuse("has no segment to load");
  const entry = physicalEntry(
    view.getBigUint64(Ehdr.E_ENTRY, true),
    segments,
    refuse,
  );
  return {
    entry,
    segments: segments.map(({ virtualAddress: _, ...segment }) => segment),
    notes,
  };
}

type Refuse = (reason: string) => KernelError;

function checkIdentity(view: DataView, fileSize: number, refuse: Refuse): void {
  if (view.byteLength < 4 || view.getUint32(0) !== ELF_MAGIC) {
    throw refuse(
      isBzImage(view)
        ? "is a bzImage, which Vireo can't boot yet: use the vmlinux file"
        : "is not an ELF file (Vireo boots 64-bit vmlinux)",
    );
  }
  if (view.byteLength < Ehdr.SIZE) {
    throw refuse(
      `is truncated: the ELF header has ${Ehdr.SIZE} bytes ` +
        `but the file has ${fileSize}`,
    );
  }
  const elfClass = view.getUint8(Ehdr.EI_CLASS);
  if (elfClass === ELFCLASS32) {
    throw refuse("is a 32-bit ELF (Vireo boots 64-bit vmlinux)");
  }
  if (elfClass !== ELFCLASS64) throw refuse(`has ELF class ${elfClass}`);
  const data = view.getUint8(Ehdr.EI_DATA);
  if (data !== ELFDATA2LSB) throw refuse("is not a little-endian ELF");
  const machine = view.getUint16(Ehdr.E_MACHINE, true);
  if (machine !== EM_X86_64) {
    throw refuse(`is for another machine (ELF machine ${machine}, not x86-64)`);
  }
  const type = view.getUint16(Ehdr.E_TYPE, true);
  if (type !== ET_EXEC && type !== ET_DYN) {
    throw refuse(`is not an executable (ELF type ${type})`);
  }
}

function isBzImage(view: DataView): boolean {
  const { MAGIC_OFFSET, MAGIC } = BZIMAGE;
  return view.byteLength >= MAGIC_OFFSET + 4 &&
    view.getUint32(MAGIC_OFFSET, true) === MAGIC;
}

function programHeaders(
  view: DataView,
  fileSize: number,
  refuse: Refuse,
): DataView[] {
  const count = view.getUint16(Ehdr.E_PHNUM, true);
  const entrySize = view.getUint16(Ehdr.E_PHENTSIZE, true);
  if (count === 0) throw refuse("has no segment to load");
  if (count > PHNUM_MAX) {
    throw refuse(`has ${count} program headers, more than ${PHNUM_MAX}`);
  }
  if (entrySize !== Phdr.SIZE) {
    throw refuse(
      `has program headers of ${entrySize} bytes, not ${Phdr.SIZE}`,
    );
  }
  const start = Number(view.getBigUint64(Ehdr.E_PHOFF, true));
  const end = start + count * Phdr.SIZE;
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
        view.byteOffset + start + i * Phdr.SIZE,
        Phdr.SIZE,
      ),
  );
}

function loadSegment(
  phdr: DataView,
  index: number,
  fileSize: number,
  refuse: Refuse,
): LinkedSegment {
  const field = (offset: number, name: string): number => {
    const value = phdr.getBigUint64(offset, true);
    if (value < PLAUSIBLE) return Number(value);
    throw refuse(`segment ${index} has ${name} 0x${value.toString(16)}`);
  };
  const segment: LinkedSegment = {
    index,
    fileOffset: field(Phdr.P_OFFSET, "file offset"),
    fileSize: field(Phdr.P_FILESZ, "file size"),
    address: field(Phdr.P_PADDR, "physical address"),
    memorySize: field(Phdr.P_MEMSZ, "memory size"),
    virtualAddress: phdr.getBigUint64(Phdr.P_VADDR, true),
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
): number {
  for (const { address, memorySize } of segments) {
    if (entry >= address && entry < address + memorySize) return Number(entry);
  }
  for (const { virtualAddress, address, memorySize } of segments) {
    const offset = entry - virtualAddress;
    if (offset >= 0n && offset < memorySize) return address + Number(offset);
  }
  throw refuse(`entry 0x${entry.toString(16)} is outside of every segment`);
}
