/**
 * Machines that were saved when their init asked for its orders, one for each
 * key: a folder in `~/.cache/vireo/instant` with a snapshot in it.
 *
 * Only the caller can write there, since what is restored runs with all that it
 * may. A folder is renamed into its place when it is whole, and removed when it
 * is found damaged, or when the cache is too large.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { exists, ifThere, pathIn } from "../../ffi/file.ts";
import { GiB, MiB } from "../../guest/layout.ts";
import { cacheFolder } from "../../images/linux/cache.ts";
import type { Snapshot } from "../../vmm/snapshot/mod.ts";

/** What the cache may take of the disk. */
const LIMIT = 1 * GiB;
/** Beside the snapshot: what it is, and how its memory's file was. */
const ABOUT = "about.json";
const UNFINISHED = /^new-/;
/** Milliseconds after which an unfinished one is nobody's. */
const FORGOTTEN = 600_000;

/** What is known of a saved machine without opening it. */
export interface About {
  /** In the user's words. */
  what: string;
  /** When it was last used, in milliseconds since 1970. */
  used: number;
  /** Bytes on disk. */
  bytes: number;
  /** Its folder. */
  folder: string;
}

/** `~/.cache/vireo/instant`. */
export function instantFolder(): string {
  return pathIn(cacheFolder(), "instant");
}

/**
 * Makes the cache's folder, or looks at the one that is there.
 *
 * @throws {VireoError} others could write to it, or it can't be made
 */
export function ownFolder(folder: string = instantFolder()): string {
  try {
    Deno.mkdirSync(folder, { recursive: true, mode: 0o700 });
    const { uid, mode, isDirectory } = Deno.lstatSync(folder);
    const others = ((mode ?? 0o777) & 0o077) !== 0;
    if (isDirectory && uid === Deno.uid() && !others) return folder;
  } catch (error) {
    throw new VireoError(`${folder}: ${(error as Error).message}`);
  }
  throw new VireoError(`${folder}: is not only yours (mode 0700)`);
}

/**
 * The folder of the machine that `key` is of, if there is one.
 *
 * @throws {VireoError} it is damaged
 */
export function findEntry(cache: string, key: string): string | undefined {
  const folder = pathIn(cache, key);
  let about: { memory: unknown };
  try {
    about = JSON.parse(Deno.readTextFileSync(pathIn(folder, ABOUT)));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound && !exists(folder)) return;
    throw new VireoError(`${folder}: ${ABOUT}: ${(error as Error).message}`);
  }
  const now = JSON.stringify(memoryOf(folder));
  if (JSON.stringify(about.memory) !== now) {
    throw new VireoError(`${folder}: its memory is not as it was saved`);
  }
  const time = new Date();
  Deno.utimeSync(pathIn(folder, ABOUT), time, time);
  return folder;
}

/**
 * What `use` makes of the machine that `key` is of, if there is one. Another boot
 * may take its folder away while it is used, or put its own there: then it is
 * the next one's turn.
 *
 * @throws {VireoError} it is damaged, or what `use` throws
 */
export async function useEntry<T>(
  cache: string,
  key: string,
  use: (folder: string) => Promise<T>,
): Promise<T | undefined> {
  const inode = () => ifThere(() => Deno.lstatSync(pathIn(cache, key)))?.ino;
  for (;;) {
    const before = inode();
    try {
      const folder = findEntry(cache, key);
      return folder === undefined ? undefined : await use(folder);
    } catch (error) {
      if (inode() === before) throw error;
    }
  }
}

/**
 * Keeps a machine, in the place of one that is there already, and takes away
 * what has not been used for the longest time if the cache is too large.
 *
 * @param what it is, in the user's words
 */
export function keepEntry(
  cache: string,
  key: string,
  what: string,
  snapshot: Snapshot,
): void {
  const folder = pathIn(cache, `new-${crypto.randomUUID()}`);
  try {
    snapshot.save(folder);
    const about = { what, memory: memoryOf(folder) };
    Deno.writeTextFileSync(pathIn(folder, ABOUT), JSON.stringify(about));
    // Nobody ever sees a half of one: it is moved away before it is removed.
    moveAway(cache, key);
    if (!moved(folder, pathIn(cache, key)) && !exists(pathIn(cache, key))) {
      throw new VireoError(`${cache}/${key}: can't be put there`);
    } // else another boot has just kept the same
  } finally {
    removeEntry(folder);
  }
  trim(cache, LIMIT);
}

function moveAway(cache: string, name: string): void {
  const away = pathIn(cache, `new-${crypto.randomUUID()}`);
  if (moved(pathIn(cache, name), away)) removeEntry(away);
}

function moved(from: string, to: string): boolean {
  try {
    Deno.renameSync(from, to);
    return true;
  } catch {
    return false;
  }
}

/** Removes a saved machine. One that runs on its memory runs on. */
export function removeEntry(folder: string): void {
  try {
    Deno.removeSync(folder, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** All that there are, the one used last first. */
export function listEntries(cache: string): About[] {
  if (!exists(cache)) return [];
  return [...Deno.readDirSync(cache)].filter(({ name, isDirectory }) =>
    isDirectory && !UNFINISHED.test(name)
  ).flatMap(({ name }) => ifThere(() => aboutEntry(pathIn(cache, name))) ?? [])
    .sort((a, b) => b.used - a.used);
}

/** Takes away what was used longest ago until the rest is at most `limit`. */
export function trim(cache: string, limit: number): void {
  for (const { name } of Deno.readDirSync(cache)) {
    if (!UNFINISHED.test(name)) continue;
    const state = ifThere(() => Deno.statSync(pathIn(cache, name)));
    if (state === undefined) continue; // it is another boot's, which goes on
    const age = Date.now() - (state.mtime?.getTime() ?? 0);
    if (age > FORGOTTEN) removeEntry(pathIn(cache, name));
  }
  let sum = 0;
  for (const { folder, bytes } of listEntries(cache)) {
    sum += bytes;
    if (sum > limit) removeEntry(folder);
  }
}

/** A line for each, for people. */
export function entryText({ what, used, bytes }: About): string {
  const when = new Date(used).toISOString().slice(0, 16).replace("T", " ");
  return `${(bytes / MiB).toFixed(1).padStart(7)} MiB  ${when}  ${what}`;
}

function aboutEntry(folder: string): About {
  let bytes = 0;
  for (const { name } of Deno.readDirSync(folder)) {
    bytes += 512 * (Deno.lstatSync(pathIn(folder, name)).blocks ?? 0);
  }
  try {
    const path = pathIn(folder, ABOUT);
    const { what } = JSON.parse(Deno.readTextFileSync(path));
    const used = Deno.statSync(path).mtime?.getTime() ?? 0;
    return { what: String(what), used, bytes, folder };
  } catch {
    return { what: "damaged", used: 0, bytes, folder };
  }
}

/** Who writes to the memory's file, or puts another there, changes this. */
function memoryOf(folder: string): unknown[] {
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name)
    .filter((name) => name.startsWith("memory-"));
  return names.flatMap((name) => {
    const { ino, size, mtime } = Deno.lstatSync(pathIn(folder, name));
    return [name, ino, size, mtime?.getTime()];
  });
}
