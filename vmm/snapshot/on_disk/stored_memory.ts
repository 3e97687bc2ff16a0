/**
 * A RAM in a folder: all of it in a sparse file, or what differs from another
 * snapshot's, page behind page. `state.json` says which, where and with which
 * checksums.
 *
 * @module
 */
import { VireoError } from "../../../ffi/error.ts";
import { MiB } from "../../../guest/layout.ts";
import { crc32 } from "../crc32.ts";
import { integer, list, object } from "../codec.ts";
import { MemoryImage, PIECE, writeFully } from "../memory_image.ts";
import { PAGE, type Run, sizeOf } from "../runs.ts";

const RAM_MAX = 64 * 1024 * MiB;
const NAME = /^memory-[0-9a-f-]{36}$/;
const SUM_MAX = 2 ** 32 - 1;
/** Bytes that are written at once: a processor's cache has room for them. */
const GATHERED = 256 * 1024;

/** Where a diff's changes are: page, pages, CRC-32 of the bytes; null: zeros. */
export type StoredRun = [page: number, pages: number, crc32: number | null];

/** `memory` of `state.json`. */
export interface StoredMemory {
  /** The file in the folder. */
  file: string;
  /** Bytes of RAM. */
  size: number;
  /** The CRC-32 of each {@linkcode PIECE} of all of a RAM. */
  crc32?: number[];
  /** What it differs from: the other snapshot's SHA-256, and how. */
  diff?: { since: string; runs: StoredRun[] };
}

/** What a diff differs from: a snapshot that was saved. */
export interface Since {
  memory: MemoryImage;
  sha256: string;
}

/** Writes the RAM to an empty file, called `file`. */
export function storeMemory(
  target: Deno.FsFile,
  file: string,
  memory: MemoryImage,
  since: Since | undefined,
): StoredMemory {
  const { size } = memory;
  if (since === undefined) return { file, size, crc32: memory.copyTo(target) };
  const changes = memory.changesSince(since.memory);
  writeAll(target, changes.flatMap(({ bytes }) => bytes ?? []));
  const runs = changes.map(({ from, to, bytes }): StoredRun => {
    return [from / PAGE, (to - from) / PAGE, bytes ? crc32(bytes) : null];
  });
  return { file, size, diff: { since: since.sha256, runs } };
}

/**
 * `memory` of a `state.json` that may come from anywhere.
 *
 * @throws {VireoError} what is wrong with it
 */
export function decodeStored(value: unknown): StoredMemory {
  const { file, size, crc32, diff } = object(value, "memory");
  if (typeof file !== "string" || !NAME.test(file)) {
    throw new VireoError("memory.file: is no name of a memory file");
  }
  const bytes = integer(size, "memory.size", PAGE, RAM_MAX);
  if (diff !== undefined) return { file, size: bytes, diff: runs(diff, bytes) };
  const pieces = Math.ceil(bytes / PIECE);
  const sum = (item: unknown, at: string) => integer(item, at, 0, SUM_MAX);
  const sums = list(crc32, "memory.crc32", pieces, pieces, sum);
  return { file, size: bytes, crc32: sums };
}

function runs(value: unknown, size: number): StoredMemory["diff"] {
  const { since, runs } = object(value, "memory.diff");
  if (typeof since !== "string" || !/^[0-9a-f]{64}$/.test(since)) {
    throw new VireoError("memory.diff.since: is no SHA-256");
  }
  const pages = size / PAGE;
  let next = 0; // they are in order
  const decode = (item: unknown, at: string): StoredRun => {
    const [page, count, sum] = list(item, at, 3, 3, (inner) => inner);
    const first = integer(page, `${at}[0]`, next, pages - 1);
    const length = integer(count, `${at}[1]`, 1, pages - first);
    next = first + length;
    const whole = sum === null ? null : integer(sum, `${at}[2]`, 0, SUM_MAX);
    return [first, length, whole];
  };
  return { since, runs: list(runs, "memory.diff.runs", 0, pages, decode) };
}

/** How long the file is. */
export function storedSize({ size, diff }: StoredMemory): number {
  if (diff === undefined) return size;
  return diff.runs.reduce(
    (sum, [, pages, crc]) => sum + (crc === null ? 0 : pages * PAGE),
    0,
  );
}

/**
 * Reads a diff's changes, and checks them.
 *
 * @throws {VireoError} they are not what was saved
 */
export function readChanges(
  source: Deno.FsFile,
  { file, diff }: StoredMemory,
): Run[] {
  return (diff?.runs ?? []).map(([page, pages, sum]) => {
    const [from, to] = [page * PAGE, (page + pages) * PAGE];
    if (sum === null) return { from, to, bytes: undefined };
    const bytes = new Uint8Array(sizeOf([{ from, to }]));
    for (let done = 0; done < bytes.length;) {
      const count = source.readSync(bytes.subarray(done));
      if (count === null) throw new VireoError(`${file}: is cut off`);
      done += count;
    }
    if (crc32(bytes) === sum) return { from, to, bytes };
    throw new VireoError(`memory from ${from} on is not what was saved`);
  });
}

/** Writes all of them, one behind the other, in few calls. */
function writeAll(
  file: Deno.FsFile,
  all: readonly Uint8Array<ArrayBuffer>[],
): void {
  const size = all.reduce((sum, { length }) => sum + length, 0);
  const buffer = new Uint8Array(Math.min(size, GATHERED));
  let filled = 0;
  for (const bytes of all) {
    if (filled + bytes.length > buffer.length) {
      writeFully(file, buffer.subarray(0, filled));
      filled = 0;
    }
    if (bytes.length > buffer.length) {
      writeFully(file, bytes);
    } else {
      buffer.set(bytes, filled);
      filled += bytes.length;
    }
  }
  writeFully(file, buffer.subarray(0, filled));
}
