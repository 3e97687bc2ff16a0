/**
 * For tests: builds small ELF files, valid ones and every kind of broken one.
 *
 * @module
 */
/** One program header, and the bytes that it points to. */
export interface TestSegment {
  /** `p_type`, default `PT_LOAD`. */
  type?: number;
  /** `p_paddr`. */
  address?: bigint;
  /** `p_vaddr`, default the physical address. */
  virtualAddress?: bigint;
  /** What goes into the file. */
  bytes?: Uint8Array;
  /** `p_filesz`, default the number of bytes. */
  fileSize?: bigint;
  /** `p_memsz`, default the number of bytes. */
  memorySize?: bigint;
  /** `p_offset`, default where the bytes are. */
  offset?: bigint;
}

/** What to build; the defaults give a valid kernel for x86-64. */
export interface TestElf {
  /** `e_entry`, default the first segment's physical address. */
  entry?: bigint;
  /** Program headers. */
  segments?: TestSegment[];
  /** `e_ident[EI_CLASS]`. */
  class?: number;
  /** `e_ident[EI_DATA]`. */
  data?: number;
  /** `e_type`. */
  type?: number;
  /** `e_machine`. */
  machine?: number;
  /** `e_phoff`. */
  phoff?: bigint;
  /** `e_phentsize`. */
  phentsize?: number;
  /** `e_phnum`. */
  phnum?: number;
}

/** `p_type` values. */
export const TestSegmentType = { LOAD: 1, NOTE: 4 } as const;

const EHDR_SIZE = 64;
const PHDR_SIZE = 56;

/** An ELF64 file: header, program headers, then each segment's bytes. */
export function buildElf(elf: TestElf = {}): Uint8Array<ArrayBuffer> {
  const segments = elf.segments ??
    [{ address: 0x100_0000n, bytes: new Uint8Array(16).fill(0xf4) }];
  const dataStart = EHDR_SIZE + segments.length * PHDR_SIZE;
  const size = segments.reduce(
    (sum, { bytes }) => sum + (bytes?.length ?? 0),
    dataStart,
  );
  const file = new Uint8Array(size);
  const view = new DataView(file.buffer);
  const entry = elf.entry ?? segments[0]?.address ?? 0n;

  file.set([0x7f, 0x45, 0x4c, 0x46, elf.class ?? 2, elf.data ?? 1, 1]);
  view.setUint16(16, elf.type ?? 2, true);
  view.setUint16(18, elf.machine ?? 62, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(24, entry, true);
  view.setBigUint64(32, elf.phoff ?? BigInt(EHDR_SIZE), true);
  view.setUint16(52, EHDR_SIZE, true);
  view.setUint16(54, elf.phentsize ?? PHDR_SIZE, true);
  view.setUint16(56, elf.phnum ?? segments.length, true);

  let at = dataStart;
  segments.forEach((segment, index) => {
    const bytes = segment.bytes ?? new Uint8Array();
    const length = BigInt(bytes.length);
    const address = segment.address ?? 0n;
    const phdr = EHDR_SIZE + index * PHDR_SIZE;
    view.setUint32(phdr, segment.type ?? TestSegmentType.LOAD, true);
    view.setBigUint64(phdr + 8, segment.offset ?? BigInt(at), true);
    view.setBigUint64(phdr + 16, segment.virtualAddress ?? address, true);
    view.setBigUint64(phdr + 24, address, true);
    view.setBigUint64(phdr + 32, segment.fileSize ?? length, true);
    view.setBigUint64(phdr + 40, segment.memorySize ?? length, true);
    view.setBigUint64(phdr + 48, 4n, true);
    file.set(bytes, at);
    at += bytes.length;
  });
  return file;
}

/** The bytes of one ELF note, padded to 4. */
export function buildNote(
  name: string,
  type: number,
  descriptor: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(name + "\0");
  const padded = (length: number) => (length + 3) & ~3;
  const note = new Uint8Array(
    12 + padded(text.length) + padded(descriptor.length),
  );
  const view = new DataView(note.buffer);
  view.setUint32(0, text.length, true);
  view.setUint32(4, descriptor.length, true);
  view.setUint32(8, type, true);
  note.set(text, 12);
  note.set(descriptor, 12 + padded(text.length));
  return note;
}

/** The same file with headers of 32 bits, for i386. */
export function buildElf32(
  { segments = [] }: Pick<TestElf, "segments">,
): Uint8Array<ArrayBuffer> {
  const headers = 52 + segments.length * 32;
  const bytes = segments.map((segment) => segment.bytes ?? new Uint8Array());
  const file = new Uint8Array(
    bytes.reduce((sum, { length }) => sum + length, headers),
  );
  const view = new DataView(file.buffer);
  const u16 = (at: number, value: number) => view.setUint16(at, value, true);
  const u32 = (at: number, value: bigint | number) =>
    view.setUint32(at, Number(value), true);
  file.set([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1]);
  u16(16, 2);
  u16(18, 3);
  u32(24, segments[0]?.address ?? 0);
  u32(28, 52);
  u16(42, 32);
  u16(44, segments.length);
  let at = headers;
  segments.forEach(({ type, address = 0n, memorySize }, index) => {
    const phdr = 52 + index * 32;
    const { length } = bytes[index]!;
    u32(phdr, type ?? TestSegmentType.LOAD);
    u32(phdr + 4, at);
    u32(phdr + 8, address);
    u32(phdr + 12, address);
    u32(phdr + 16, length);
    u32(phdr + 20, memorySize ?? length);
    u32(phdr + 28, 4);
    file.set(bytes[index]!, at);
    at += length;
  });
  return file;
}
