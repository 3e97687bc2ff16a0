/**
 * A kernel's symbols, by name and by address: from its vmlinux (an ELF file with
 * a symbol table), its System.map, or what it has in /proc/kallsyms.
 *
 * A file is hostile input: every number in it is checked here.
 *
 * @module
 */
import { KernelError } from "./error.ts";
import { OpenBootFile } from "./file.ts";

/** A place in a kernel. */
export interface NearSymbol {
  /** The last symbol that is not behind it. */
  name: string;
  /** Bytes from there. */
  offset: number;
}

/** More than the largest kernels have. */
const TABLE_MAX = 512 * 1024 * 1024;
/** What is further away from a symbol is in nothing that it names. */
const NEAR = 1024 * 1024;

/** `Elf64_Ehdr`, `Elf64_Shdr`, `Elf64_Sym`. */
const Ehdr = { SIZE: 64, E_SHOFF: 40, E_SHENTSIZE: 58, E_SHNUM: 60 } as const;
const Shdr = {
  SIZE: 64,
  SH_TYPE: 4,
  SH_OFFSET: 24,
  SH_SIZE: 32,
  SH_LINK: 40,
} as const;
const Sym = { SIZE: 24, ST_INFO: 4, ST_SHNDX: 6, ST_VALUE: 8 } as const;
const ELF_MAGIC = 0x7f454c46;
const ELFCLASS64 = 2;
const SHT_SYMTAB = 2;
/** `STT_*`: no type, data, function. Others are sections and files. */
const TYPES = [0, 1, 2];
/** A line of System.map or /proc/kallsyms: address, type, name, module. */
const LINE = /^([0-9a-f]{8,16}) [a-zA-Z?] (\S+)(?:\t\S+)?$/;

/** The symbols of one kernel. */
export class KernelSymbols {
  readonly #byName = new Map<string, bigint>();
  readonly #addresses: BigUint64Array;
  readonly #names: string[];

  /** Of pairs in any order; of one name, the first counts. */
  constructor(symbols: readonly (readonly [name: string, address: bigint])[]) {
    for (const [name, address] of symbols) {
      if (!this.#byName.has(name)) this.#byName.set(name, address);
    }
    const sorted = symbols.toSorted(([, a], [, b]) => a < b ? -1 : +(a > b));
    this.#addresses = BigUint64Array.from(sorted, ([, address]) => address);
    this.#names = sorted.map(([name]) => name);
  }

  /**
   * Reads a vmlinux, a System.map, or a copy of /proc/kallsyms.
   *
   * @param file a path, or the contents
   * @throws {VireoError} it can't be read, or has no symbols
   */
  static read(file: string | Uint8Array): KernelSymbols {
    using source = new OpenBootFile(file, "symbols");
    const head = new DataView(
      new ArrayBuffer(Math.min(Ehdr.SIZE, source.size)),
    );
    source.read(0, new Uint8Array(head.buffer));
    const isElf = head.byteLength === Ehdr.SIZE &&
      head.getUint32(0) === ELF_MAGIC;
    const found = isElf ? fromElf(source, head) : fromText(source);
    if (found.length > 0) return new KernelSymbols(found);
    throw new KernelError(source.label, "has no symbols");
  }

  /** How many there are. */
  get size(): number {
    return this.#names.length;
  }

  /** Where a symbol is; undefined: there is none of that name. */
  address(name: string): bigint | undefined {
    return this.#byName.get(name);
  }

  /** What is at an address; undefined: nothing that has a name. */
  near(address: bigint): NearSymbol | undefined {
    let low = 0, high = this.#addresses.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#addresses[middle]! <= address) low = middle + 1;
      else high = middle;
    }
    const start = this.#addresses[low - 1];
    if (start === undefined || address - start > NEAR) return undefined;
    return { name: this.#names[low - 1]!, offset: Number(address - start) };
  }
}

function fromElf(
  source: OpenBootFile,
  head: DataView,
): [string, bigint][] {
  const refuse = (why: string) => new KernelError(source.label, why);
  if (head.getUint8(4) !== ELFCLASS64) throw refuse("is no 64-bit ELF file");
  const piece = (offset: number, size: number) => {
    const fits = Number.isSafeInteger(offset + size) && size <= TABLE_MAX &&
      offset + size <= source.size;
    if (!fits) throw refuse("has a table outside of the file");
    const bytes = new Uint8Array(size);
    source.read(offset, bytes);
    return new DataView(bytes.buffer);
  };
  const count = head.getUint16(Ehdr.E_SHNUM, true);
  if (count === 0) return [];
  if (head.getUint16(Ehdr.E_SHENTSIZE, true) !== Shdr.SIZE) {
    throw refuse("has no sections as of ELF64");
  }
  const at = Number(head.getBigUint64(Ehdr.E_SHOFF, true));
  const sections = piece(at, count * Shdr.SIZE);
  const long = (section: number, field: number) =>
    Number(sections.getBigUint64(section * Shdr.SIZE + field, true));
  const word = (section: number, field: number) =>
    sections.getUint32(section * Shdr.SIZE + field, true);
  const all: [string, bigint][] = [];
  for (let i = 0; i < count; i++) {
    if (word(i, Shdr.SH_TYPE) !== SHT_SYMTAB) continue;
    const link = word(i, Shdr.SH_LINK);
    if (link >= count) throw refuse("has symbols without names");
    const table = piece(long(i, Shdr.SH_OFFSET), long(i, Shdr.SH_SIZE));
    const names = piece(long(link, Shdr.SH_OFFSET), long(link, Shdr.SH_SIZE));
    addSymbols(table, new Uint8Array(names.buffer), all);
  }
  return all;
}

function addSymbols(
  table: DataView,
  names: Uint8Array,
  all: [string, bigint][],
): void {
  const decoder = new TextDecoder();
  for (let at = 0; at + Sym.SIZE <= table.byteLength; at += Sym.SIZE) {
    const type = table.getUint8(at + Sym.ST_INFO) & 0xf;
    const section = table.getUint16(at + Sym.ST_SHNDX, true);
    if (!TYPES.includes(type) || section === 0) continue;
    const start = table.getUint32(at, true);
    const end = names.indexOf(0, start);
    if (start >= names.length || end <= start) continue;
    const name = decoder.decode(names.subarray(start, end));
    all.push([name, table.getBigUint64(at + Sym.ST_VALUE, true)]);
  }
}

function fromText(source: OpenBootFile): [string, bigint][] {
  if (source.size > TABLE_MAX) return [];
  const bytes = new Uint8Array(source.size);
  source.read(0, bytes);
  return new TextDecoder().decode(bytes).split("\n").flatMap((line) => {
    const [, address, name] = LINE.exec(line) ?? [];
    return address === undefined
      ? []
      : [[name!, BigInt(`0x${address}`)] as [string, bigint]];
  });
}
