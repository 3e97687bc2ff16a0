/**
 * What guest RAM is made of, and how a part of it is given back to the host.
 *
 * @module
 */
import { SystemError, VireoError } from "../ffi/errno.ts";
import {
  advise,
  ADVISE_MAX,
  Madvise,
  MapFlag,
  Mapping,
} from "../ffi/memory/mmap.ts";
import type { ZeroCover } from "../ffi/memory/zero_cover.ts";
import { MiB } from "./layout.ts";
import type { MemoryFile } from "./memory_file.ts";

export { MemoryFile } from "./memory_file.ts";
export { ZeroCover } from "../ffi/memory/zero_cover.ts";

/**
 * What the start of a region is aligned to in this process. Guest addresses of
 * regions are too, so KVM can map 2 MiB at once wherever the host has them in
 * one piece.
 */
const ALIGNMENT = 2 * MiB;
/** What lies around each region, and faults: FFI has no safety net. */
const GUARD = 2 * MiB;

/** Where the host's pool of pages of 2 MiB is filled. */
const POOL = "/sys/kernel/mm/hugepages/hugepages-2048kB";

/** What a region is made of. */
export type Backing =
  /** The process's own memory. */
  | "anonymous"
  /** A shared mapping of a file: what is given back is a hole in that. */
  | "file"
  /** The same of a file without a name, which nobody else maps. */
  | "shared"
  /**
   * The host's pool of huge pages. None is given back: it may be somebody
   * else's when the guest wants it again, which is a SIGBUS.
   */
  | "pool"
  /**
   * A private mapping of a snapshot's file, which must not show again where a
   * part is given back: that is covered with zeros.
   */
  | "image";

/** How to allocate RAM. */
export interface AllocateOptions {
  /** Advise transparent huge pages; default true. */
  hugePages?: boolean;
  /** Take the RAM from the host's pool of 2 MiB pages (`MAP_HUGETLB`). */
  hugePagePool?: boolean;
  /**
   * Path of a file to share the RAM through: an address below the MMIO hole is
   * the offset in the file, and what is above 4 GiB follows. Not together with
   * `hugePagePool`.
   */
  file?: string;
}

/** What RAM of these options is made of. */
export function backingOf({ hugePagePool, file }: AllocateOptions): Backing {
  if (hugePagePool) return "pool";
  return file === undefined ? "anonymous" : "file";
}

/**
 * Maps a part of the RAM.
 *
 * @param total bytes of all of it, for messages
 * @throws {VireoError} the host has no room, or not of that kind
 */
export function mapRam(
  { size, offset }: { size: number; offset: number },
  total: number,
  { hugePages = true, hugePagePool = false }: AllocateOptions,
  file: MemoryFile | undefined,
): Mapping {
  try {
    if (hugePagePool) return mapHugePages(size);
    const mapping = new Mapping(size, {
      ...(file && { fd: file.fd, offset }),
      flags: MapFlag.NORESERVE |
        (file ? MapFlag.SHARED : MapFlag.PRIVATE | MapFlag.ANONYMOUS),
      alignment: ALIGNMENT,
      guard: GUARD,
      name: "guest memory",
    });
    if (hugePages) mapping.advise(Madvise.HUGEPAGE);
    return mapping;
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    throw new VireoError(
      hugePagePool
        ? noHugePages(total, error)
        : `memory: this host has no room for ${total / MiB} MiB ` +
          `(${error.message}); ask for less`,
    );
  }
}

/** They are reserved now: later, a missing page would be a SIGBUS. */
function mapHugePages(size: number): Mapping {
  if (size % ALIGNMENT !== 0) {
    throw new VireoError(
      `memory: ${size / MiB} MiB are not a whole number of 2 MiB pages`,
    );
  }
  return new Mapping(size, {
    flags: MapFlag.PRIVATE | MapFlag.ANONYMOUS | MapFlag.HUGETLB |
      MapFlag.HUGE_2MB,
    alignment: ALIGNMENT,
    guard: GUARD,
    name: "huge pages",
  });
}

function noHugePages(total: number, error: SystemError): string {
  const count = (name: string) =>
    Number(Deno.readTextFileSync(`${POOL}/${name}`));
  const needed = total / ALIGNMENT;
  try {
    const free = count("free_hugepages");
    const pool = count("nr_hugepages") + needed - free;
    return `memory: ${needed} huge pages of 2 MiB are needed, and this host ` +
      `has ${free} free; get them with: ` +
      `echo ${pool} | sudo tee ${POOL}/nr_hugepages`;
  } catch {
    return `memory: this host has no huge pages of 2 MiB (${error.code})`;
  }
}

/**
 * Gives whole pages back, with all that is in them: they are zeros then, and
 * new memory as soon as they are touched. False when they can't be.
 *
 * @param address of the first, in this process
 * @param cover what covers parts of an image
 */
export function giveBack(
  backing: Backing,
  address: number,
  length: number,
  cover: ZeroCover,
): boolean {
  if (backing === "pool") return false;
  if (backing === "image") {
    cover.cover(address, length);
    return true;
  }
  const advice = backing === "anonymous" ? Madvise.DONTNEED : Madvise.REMOVE;
  for (let done = 0; done < length; done += ADVISE_MAX) {
    const piece = Math.min(length - done, ADVISE_MAX);
    if (!advise(address + done, piece, advice)) return false;
  }
  return true;
}
