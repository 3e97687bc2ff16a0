/**
 * Snapshots on disk: what they take there, who runs on them, and how they go.
 *
 * @module
 */
import { VireoError } from "../../../ffi/error.ts";
import {
  closeFd,
  exists,
  ifThere,
  Open,
  openFd,
  pathIn,
  tryLock,
} from "../../../ffi/file.ts";
import { memoryNames, namedMemory, STATE, telling } from "./folder.ts";

/** A folder with a snapshot, as far as one sees without reading it. */
export interface FolderUse {
  /** When it was saved. */
  saved: Date;
  /** Bytes that it takes on disk. */
  onDisk: number;
  /** Of them, in memory that newer snapshots have replaced. */
  replaced: number;
  /** Processes whose machines run on its memory, or that write it. */
  users: number[];
}

/**
 * Who has locks on files of this host, by {@linkcode inodeName}.
 */
function lockHolders(): Map<string, Set<number>> {
  const holders = new Map<string, Set<number>>();
  // proc(5): "3: FLOCK  ADVISORY  READ 12465 fe:00:10133662 0 EOF".
  const line = /FLOCK +\w+ +\w+ +(\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) /g;
  for (
    const [, pid, major, minor, inode] of Deno.readTextFileSync("/proc/locks")
      .matchAll(line)
  ) {
    const name = inodeName(
      parseInt(major!, 16),
      parseInt(minor!, 16),
      Number(inode),
    );
    const pids = holders.get(name) ?? new Set();
    holders.set(name, pids.add(Number(pid)));
  }
  return holders;
}

function inodeName(major: number, minor: number, inode: number): string {
  return `${major}:${minor}:${inode}`;
}

/** As the C library's `major()` and `minor()` take `st_dev` apart. */
function nameOf({ dev, ino }: Deno.FileInfo): string {
  const low = dev % 2 ** 32, high = Math.floor(dev / 2 ** 32);
  const major = (low >>> 8 & 0xfff) + (high & ~0xfff);
  const minor = (low & 0xff) + (low >>> 12 & 0xfff00);
  return inodeName(major, minor, ino ?? 0);
}

/** What a snapshot takes; undefined: there is none in the folder. */
export function folderUse(folder: string): FolderUse | undefined {
  const state = pathIn(folder, STATE);
  if (!exists(state)) return undefined;
  return telling(folder, () => {
    const { mtime, blocks } = Deno.statSync(state);
    const now = namedMemory(folder);
    const holders = lockHolders();
    const users = new Set<number>();
    let onDisk = 512 * (blocks ?? 0), replaced = 0;
    for (const name of memoryNames(folder)) {
      const info = ifThere(() => Deno.statSync(pathIn(folder, name)));
      if (info === undefined) continue; // it has just been replaced
      const bytes = 512 * (info.blocks ?? 0);
      onDisk += bytes;
      if (now !== undefined && name !== now) replaced += bytes;
      for (const pid of holders.get(nameOf(info)) ?? []) users.add(pid);
    }
    return { saved: mtime ?? new Date(0), onDisk, replaced, users: [...users] };
  });
}

/**
 * Removes a snapshot, damaged or not, and its folder, if nothing else is in it.
 *
 * @throws {VireoError} there is none, or a machine runs on it
 */
export function removeFolder(folder: string): void {
  telling(folder, () => {
    const names = memoryNames(folder);
    const state = pathIn(folder, STATE);
    if (names.length === 0 && !exists(state)) {
      throw new VireoError("there is none");
    }
    using locks = new DisposableStack();
    for (const name of names) {
      const path = pathIn(folder, name);
      const fd = locks.adopt(openFd(path, Open.RDONLY, "memory"), closeFd);
      if (tryLock(fd, true, path)) continue;
      const users = folderUse(folder)?.users ?? [];
      const who = users.length === 0 ? "a process" : users.join(", ");
      throw new VireoError(`is in use by ${who}`);
    }
    if (exists(state)) Deno.removeSync(state);
    for (const { name } of [...Deno.readDirSync(folder)]) {
      const ours = names.includes(name) || name.startsWith(`${STATE}.memory-`);
      if (ours) Deno.removeSync(pathIn(folder, name));
    }
    if ([...Deno.readDirSync(folder)].length === 0) Deno.removeSync(folder);
  });
}
