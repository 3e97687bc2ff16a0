/**
 * Writes a snapshot to a folder: the RAM under a new name, which `state.json`
 * tells; that is renamed into its place last. So a process that is killed
 * meanwhile leaves the old snapshot or the new one.
 *
 * Whoever writes a RAM, or runs on it, has a shared lock on it, and it goes only
 * when nobody has. So several may save to a folder at once, and the last one
 * stays.
 *
 * @module
 */
import { check } from "../../../ffi/errno.ts";
import { VireoError } from "../../../ffi/error.ts";
import {
  closeFd,
  exists,
  ifThere,
  Open,
  openFd,
  pathIn,
  replaceFile,
  tryLock,
} from "../../../ffi/file.ts";
import { libc } from "../../../ffi/libc.ts";
import { sha256Now } from "../../../ffi/sha256.ts";
import { encodeMachine } from "../codec.ts";
import { FORMAT, memoryNames, namedMemory, STATE, telling } from "./folder.ts";
import { thisOrigin } from "./host.ts";
import type { Snapshot } from "../snapshot.ts";
import { type Since, storeMemory } from "./stored_memory.ts";

/** A state that is not in its place yet, of the memory that is its end. */
const NEW_STATE = /^state\.json\.(memory-[0-9a-f-]{36})$/;
/** Times that somebody may take a new file for one that nobody wants. */
const TRIES = 10;

/** How a snapshot is written. */
export interface SaveOptions {
  /**
   * It outlives a power cut as soon as this returns; default: no, which takes
   * less time, and a killed process harms neither.
   */
  sync?: boolean;
  /**
   * Another one that was saved, or its folder: of the RAM only what differs
   * from it is written. To be restored, the two are merged. It takes time by
   * what has changed if that one was the machine's base, or the machine was
   * restored from it; otherwise all of the two is compared.
   */
  since?: Snapshot | string;
}

/** The same, for {@linkcode saveFolder}. */
export interface SaveFolderOptions extends Omit<SaveOptions, "since"> {
  /** Only what differs from this. */
  since?: Since;
  /** What it names may be opened on its word, as long as it stays there. */
  trusted?: boolean;
}

/**
 * Writes the snapshot; the folder is made if it isn't there.
 *
 * @returns its SHA-256
 * @throws {VireoError} it can't be written there; what was there stays
 */
export function saveFolder(
  snapshot: Snapshot,
  folder: string,
  { sync = false, since, trusted = true }: SaveFolderOptions = {},
): string {
  return telling(folder, () => {
    if (!exists(folder)) Deno.mkdirSync(folder, { mode: 0o700 });
    const { dev, ino } = Deno.statSync(folder);
    using undo = new DisposableStack(); // unless all goes well
    using locked = new DisposableStack();
    const file = newMemory(folder, undo, locked);
    using memory = Deno.openSync(pathIn(folder, file), { write: true });
    const stored = storeMemory(memory, file, snapshot.memory, since);
    if (sync) memory.syncSync();
    const content = {
      format: FORMAT,
      saved: new Date().toISOString(),
      origin: thisOrigin(),
      ...(trusted && { home: { dev, ino: ino ?? 0 } }),
      memory: stored,
      machine: encodeMachine(snapshot.state),
    };
    const sha256 = sha256Now(JSON.stringify(content));
    const text = JSON.stringify({ ...content, sha256 }, null, 1);
    const temporary = pathIn(folder, `${STATE}.${file}`);
    using state = Deno.openSync(temporary, {
      write: true,
      createNew: true,
      mode: 0o600,
    });
    undo.defer(() => Deno.removeSync(temporary));
    writeAll(state, new TextEncoder().encode(text + "\n"));
    if (sync) state.syncSync();
    replaceFile(temporary, pathIn(folder, STATE));
    undo.move();
    if (sync) syncFolder(folder);
    removeOthers(folder, file);
    return sha256;
  });
}

/** Makes an empty file for the RAM, with a lock on it. */
function newMemory(
  folder: string,
  undo: DisposableStack,
  locked: DisposableStack,
): string {
  for (let tries = 0; tries < TRIES; tries++) {
    const file = `memory-${crypto.randomUUID()}`;
    const path = pathIn(folder, file);
    const flags = Open.RDONLY | Open.CREAT | Open.EXCL;
    const fd = locked.adopt(openFd(path, flags, "memory", 0o600), closeFd);
    undo.defer(() => ifThere(() => Deno.removeSync(path)));
    // Until it is locked, it may be taken for one that a killed process left.
    if (tryLock(fd, false, file) && exists(path)) return file;
  }
  throw new VireoError("others save there all the time");
}

/** Memory that nobody uses, and what killed processes have left. */
function removeOthers(folder: string, file: string): void {
  for (const name of memoryNames(folder)) {
    if (name !== file) removeUnused(folder, name);
  }
  for (const { name } of Deno.readDirSync(folder)) {
    const memory = NEW_STATE.exec(name)?.[1];
    if (memory === undefined || exists(pathIn(folder, memory))) continue;
    ifThere(() => Deno.removeSync(pathIn(folder, name)));
  }
}

/** Unless somebody has a lock on it. */
function removeUnused(folder: string, name: string): void {
  const path = pathIn(folder, name);
  const fd = ifThere(() => openFd(path, Open.RDONLY, "memory"));
  if (fd === undefined) return;
  try {
    if (!tryLock(fd, true, path)) return;
    // Its writer may have put it in its place, and let it go, just now.
    if (namedMemory(folder) !== name) ifThere(() => Deno.removeSync(path));
  } finally {
    closeFd(fd);
  }
}

function writeAll(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) {
    done += file.writeSync(bytes.subarray(done));
  }
}

/** The names in it outlive a power cut. */
function syncFolder(folder: string): void {
  const fd = openFd(folder, Open.RDONLY, "folder");
  try {
    check(libc.fdatasync(fd), "sync the folder");
  } finally {
    closeFd(fd);
  }
}
