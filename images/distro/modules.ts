/**
 * Kernel modules of a distribution: which files are needed for a list of
 * drivers, in the order in which they must be loaded.
 *
 * @module
 */
import { VireoError } from "../../ffi/errno.ts";
import { runBinary } from "./run_binary.ts";

/** A module's file. */
export interface KernelModule {
  /** Its name, with underscores: `virtio_blk`. */
  name: string;
  /** The object file, not compressed. */
  data: Uint8Array;
}

/** ELF64 section header fields. */
const Elf = {
  SHOFF: 0x28,
  SHENTSIZE: 0x3a,
  SHNUM: 0x3c,
  SHSTRNDX: 0x3e,
  NAME: 0x00,
  OFFSET: 0x18,
  SIZE: 0x20,
} as const;

/**
 * The `key=value` strings of a module: its `.modinfo` section.
 *
 * @throws {VireoError} when `data` is no ELF file with such a section
 */
export function moduleInfo(data: Uint8Array, name: string): string[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  try {
    const isElf = view.getUint32(0) === 0x7f454c46;
    const table = Number(view.getBigUint64(Elf.SHOFF, true));
    const size = view.getUint16(Elf.SHENTSIZE, true);
    const field = (section: number, offset: number) =>
      Number(view.getBigUint64(table + section * size + offset, true));
    const names = field(view.getUint16(Elf.SHSTRNDX, true), Elf.OFFSET);
    const count = isElf ? view.getUint16(Elf.SHNUM, true) : 0;
    for (let section = 0; section < count; section++) {
      const at = names +
        view.getUint32(table + section * size + Elf.NAME, true);
      if (!startsWith(data, at, ".modinfo\0")) continue;
      const start = field(section, Elf.OFFSET);
      const bytes = data.subarray(start, start + field(section, Elf.SIZE));
      return new TextDecoder().decode(bytes).split("\0").filter(Boolean);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  throw new VireoError(`module ${name}: is not a kernel module`);
}

function startsWith(data: Uint8Array, at: number, text: string): boolean {
  return [...text].every((char, i) => data[at + i] === char.charCodeAt(0));
}

/** The modules that a module needs, from its {@linkcode moduleInfo}. */
export function dependencies(info: readonly string[]): string[] {
  const line = info.find((entry) => entry.startsWith("depends="));
  return line?.slice("depends=".length).split(",").filter(Boolean)
    .map(moduleName) ?? [];
}

/** What a module is called in the kernel, whatever its file is called. */
export function moduleName(text: string): string {
  return text.replace(/^.*\//, "").replace(/\.ko(\.\w+)?$/, "")
    .replaceAll("-", "_");
}

/**
 * Reads the modules of a list and all that they need, those first that others
 * need. What is built into the kernel, or what this kernel doesn't have, is
 * left out.
 *
 * @param root the folder with `modules.builtin`: `/lib/modules/VERSION`
 */
export async function readModules(
  root: string,
  wanted: readonly string[],
): Promise<KernelModule[]> {
  const files = new Map<string, string>();
  for await (const path of walk(`${root}/kernel`)) {
    files.set(moduleName(path), path);
  }
  const result = new Map<string, KernelModule>();
  const add = async (name: string, path: readonly string[]) => {
    const file = files.get(name);
    if (file === undefined || result.has(name)) return;
    if (path.includes(name)) {
      throw new VireoError(`module ${name}: needs itself`);
    }
    const data = await readModule(file);
    for (const other of dependencies(moduleInfo(data, name))) {
      await add(other, [...path, name]);
    }
    result.set(name, { name, data });
  };
  for (const name of wanted) await add(moduleName(name), []);
  return [...result.values()];
}

async function* walk(folder: string): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(folder)) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) yield* walk(path);
    else if (/\.ko(\.\w+)?$/.test(entry.name)) yield path;
  }
}

/** Debian compresses modules with xz since 13, Ubuntu with zstd. */
async function readModule(path: string): Promise<Uint8Array> {
  if (path.endsWith(".ko")) return await Deno.readFile(path);
  const programs: Record<string, string> = {
    gz: "gzip",
    xz: "xz",
    zst: "zstd",
  };
  const program = programs[path.slice(path.lastIndexOf(".") + 1)];
  if (program === undefined) {
    throw new VireoError(`${path}: unknown compression`);
  }
  return await runBinary(program, ["-dc", path]);
}
