/**
 * cpio archives in the "newc" format, as the kernel unpacks them from an initrd
 * (Documentation/driver-api/early-userspace/buffer-format.rst).
 *
 * @module
 */

/** File types in `st_mode`. */
export const FileType = {
  FOLDER: 0o040000,
  CHARACTER_DEVICE: 0o020000,
  FILE: 0o100000,
  LINK: 0o120000,
} as const;

/** One file of an archive; all belong to root. */
export interface CpioEntry {
  /** Where it goes, without a leading slash; folders come before their files. */
  path: string;
  /** One of {@linkcode FileType} and permission bits. */
  mode: number;
  /** A file's contents, or where a link points to. */
  data?: Uint8Array;
  /** A device's numbers. */
  device?: { major: number; minor: number };
}

const MAGIC = "070701";
const TRAILER = "TRAILER!!!";
const ALIGNMENT = 4;
/** What cpio programs fill an archive up to. */
const BLOCK = 512;

/** A folder, mode 0755. */
export function folder(path: string): CpioEntry {
  return { path, mode: FileType.FOLDER | 0o755 };
}

/** A file; `executable` makes its mode 0755 instead of 0644. */
export function file(
  path: string,
  data: Uint8Array,
  executable = false,
): CpioEntry {
  return { path, mode: FileType.FILE | (executable ? 0o755 : 0o644), data };
}

/** A symbolic link to `target`. */
export function link(path: string, target: string): CpioEntry {
  const data = new TextEncoder().encode(target);
  return { path, mode: FileType.LINK | 0o777, data };
}

/**
 * Writes an archive.
 *
 * @throws {RangeError} when a path is not relative, or twice in `entries`
 */
export function cpioArchive(
  entries: readonly CpioEntry[],
): Uint8Array<ArrayBuffer> {
  const paths = new Set<string>();
  const parts: Uint8Array[] = [];
  let size = 0;
  const add = (bytes: Uint8Array) => {
    parts.push(bytes);
    size += bytes.length;
    const padding = -size & (ALIGNMENT - 1);
    if (padding > 0) parts.push(new Uint8Array(padding));
    size += padding;
  };
  entries.forEach((entry, index) => {
    const { path, data } = entry;
    if (!/^[^/\0][^\0]*$/.test(path) || paths.has(path)) {
      throw new RangeError(`cpio: "${path}" is no path, or there twice`);
    }
    paths.add(path);
    add(header(entry, index + 1));
    if (data?.length) add(data);
  });
  add(header({ path: TRAILER, mode: 0 }, 0));
  const archive = new Uint8Array(Math.ceil(size / BLOCK) * BLOCK);
  let at = 0;
  for (const part of parts) {
    archive.set(part, at);
    at += part.length;
  }
  return archive;
}

/** The fields in order, 8 hexadecimal digits each, and the name. */
function header(entry: CpioEntry, inode: number): Uint8Array {
  const { path, mode, data, device } = entry;
  const name = new TextEncoder().encode(`${path}\0`);
  const isFolder = (mode & 0o170000) === FileType.FOLDER;
  const fields = [
    inode,
    mode,
    0, // uid
    0, // gid
    isFolder ? 2 : 1, // nlink
    0, // mtime: the same input gives the same archive
    data?.length ?? 0,
    0, // major and minor of the file system
    0,
    device?.major ?? 0,
    device?.minor ?? 0,
    name.length,
    0, // no checksum in this format
  ];
  const digits = fields.map((field) => field.toString(16).padStart(8, "0"));
  const text = new TextEncoder().encode(MAGIC + digits.join(""));
  const bytes = new Uint8Array(text.length + name.length);
  bytes.set(text);
  bytes.set(name, text.length);
  return bytes;
}
