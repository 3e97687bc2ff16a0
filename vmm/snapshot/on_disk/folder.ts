/**
 * Reads a snapshot in a folder: `state.json`, which people can read, too, and
 * the RAM in a sparse file beside it.
 *
 * @module
 */
import { SystemError, VireoError } from "../../../ffi/errno.ts";
import {
  closeFd,
  createMemoryFile,
  ifThere,
  Open,
  openFd,
  pathIn,
  tryLock,
} from "../../../ffi/file.ts";
import { sha256, sha256Now } from "../../../ffi/sha256.ts";
import { MiB } from "../../../guest/layout.ts";
import { decodeMachine, object } from "../codec.ts";
import { checkCpu, type Origin, readOrigin } from "./host.ts";
import { MemoryImage, PIECE } from "../memory_image.ts";
import type { SavedMachine } from "../saved_machine.ts";
import { Snapshot } from "../snapshot.ts";
import type { Run } from "../runs.ts";
import {
  decodeStored,
  readChanges,
  type StoredMemory,
  storedSize,
} from "./stored_memory.ts";

/** Another one can't be read by this Vireo. */
export const FORMAT = 2;
/** The file with all but the RAM. */
export const STATE = "state.json";
/** The longest `state.json`: 32 vCPUs and 19 devices are below 1 MiB. */
const STATE_MAX = 16 * MiB;
/** Times that a snapshot may be replaced while it is read. */
const TRIES = 10;
const MEMORY_NAME = /^memory-[0-9a-f-]{36}$/;

/** Where a folder was when its snapshot was written. */
interface Home {
  dev: number;
  ino: number;
}

/** A snapshot that was read. */
export interface OpenedFolder extends Disposable {
  readonly snapshot: Snapshot;
  /**
   * Only the caller can write to the folder, and it is where it was: what the
   * snapshot names may be opened on its word.
   */
  readonly trusted: boolean;
}

/**
 * Reads a snapshot. The RAM is checked when it is looked at with
 * {@linkcode verifyFolder} only: a restore maps it, and reads what it touches.
 *
 * @param withoutMemory the RAM comes from elsewhere: here it is zeros
 * @throws {VireoError} there is none, or it is damaged, or a diff, in one line
 */
export function openFolder(
  folder: string,
  withoutMemory = false,
  sum: Sum = sha256Now,
): OpenedFolder {
  const found = read(folder, withoutMemory, sum);
  const { snapshot, trusted, origin, stored } = found;
  try {
    if (!withoutMemory) telling(folder, () => checkWhole(stored));
    telling(folder, () => checkCpu(origin));
  } catch (error) {
    snapshot[Symbol.dispose]();
    throw error;
  }
  return {
    snapshot,
    trusted,
    [Symbol.dispose]: () => snapshot[Symbol.dispose](),
  };
}

/** A diff that was read. */
export interface OpenedChanges {
  /** All but the RAM. */
  readonly state: SavedMachine;
  /** SHA-256 of the snapshot that it is since. */
  readonly since: string;
  /** What differs from that one's RAM. */
  readonly changes: Run[];
  /** {@linkcode OpenedFolder.trusted} */
  readonly trusted: boolean;
}

/**
 * Reads a diff, and checks all of it.
 *
 * @throws {VireoError} there is none, or it is damaged
 */
export function openChanges(folder: string): OpenedChanges {
  const { snapshot, stored, trusted } = read(folder);
  using _snapshot = snapshot;
  return telling(folder, () => {
    if (!stored.diff) throw new VireoError("is whole, and no diff");
    using source = snapshot.memory.open({ read: true });
    const changes = readChanges(source, stored);
    const { state } = snapshot;
    return { state, since: stored.diff.since, changes, trusted };
  });
}

/** @throws {VireoError} it is a diff */
export function checkWhole({ diff }: StoredMemory): void {
  if (diff === undefined) return;
  throw new VireoError("is a diff of another one: merge it with that first");
}

/**
 * Reads all of a snapshot, or of a diff.
 *
 * @throws {VireoError} what is damaged
 */
export function verifyFolder(folder: string): void {
  const { snapshot, stored } = read(folder);
  using _snapshot = snapshot;
  if (stored.diff) return void openChanges(folder);
  const found = snapshot.memory.sums();
  const index = found.findIndex((value, i) => value !== stored.crc32![i]);
  if (index < 0) return;
  throw damaged(
    folder,
    `memory from ${index * PIECE} on is not what was saved`,
  );
}

/** What people ask of a snapshot. */
export interface FolderDescription {
  /** When it was saved, in ISO 8601. */
  saved: string;
  /** Where, and by what. */
  origin: Origin;
  /** The RAM's bytes, and those that it takes on disk. */
  memory: { size: number; onDisk: number };
  /** Its SHA-256. */
  sha256: string;
  /** That of the snapshot that it is a diff of; undefined: it is whole. */
  since?: string;
  /** All but the RAM. */
  machine: SavedMachine;
}

/**
 * What is in a snapshot.
 *
 * @throws {VireoError} there is none, or it is damaged
 */
export function describeFolder(folder: string): FolderDescription {
  const { snapshot, saved, origin, stored, sha256 } = read(folder);
  using _snapshot = snapshot;
  const { fd } = snapshot.memory;
  const blocks = Deno.statSync(`/proc/self/fd/${fd}`).blocks ?? 0;
  const memory = { size: stored.size, onDisk: 512 * blocks };
  const since = stored.diff && { since: stored.diff.since };
  return { saved, origin, memory, sha256, ...since, machine: snapshot.state };
}

/** A snapshot, and what else its state says. */
export interface Found {
  /** Of a diff, the memory is the file of its changes. */
  snapshot: Snapshot;
  stored: StoredMemory;
  saved: string;
  sha256: string;
  origin: Origin;
  trusted: boolean;
}

/** Makes a checksum. */
export type Sum = (text: string) => string;

/**
 * Knows the checksum of a folder's state as it is now, made in another thread:
 * the first that is made in this one takes 20 ms.
 */
export async function sumKnown(folder: string): Promise<Sum> {
  const known = new Map<string, string>();
  try {
    const { sha256: _, ...rest } = readState(folder);
    const text = JSON.stringify(rest);
    known.set(text, await sha256(text));
  } catch {
    // What is wrong with it is told by who opens it.
  }
  return (text) => known.get(text) ?? sha256Now(text);
}

/** Reads a snapshot: all that is small. */
export function read(
  folder: string,
  withoutMemory = false,
  sum: Sum = sha256Now,
): Found {
  return telling(folder, () => {
    for (let tries = 1;; tries++) {
      const content = stateOf(folder, sum);
      const found = openFound(folder, content, withoutMemory);
      if (found !== undefined) return found;
      // Replaced between the two looks: there is a newer one.
      if (tries === TRIES) {
        throw new VireoError("of the memory that it names there is none");
      }
    }
  });
}

/** Undefined: its memory isn't there. */
function openFound(
  folder: string,
  content: Record<string, unknown>,
  withoutMemory: boolean,
): Found | undefined {
  const stored = decodeStored(content["memory"]);
  const machine = decodeMachine(content["machine"]);
  const origin = readOrigin(content["origin"]);
  const { file } = stored;
  const bytes = withoutMemory ? stored.size : storedSize(stored);
  const path = pathIn(folder, file);
  const fd = withoutMemory
    ? createMemoryFile("no memory", bytes)
    : ifThere(() => openFd(path, Open.RDONLY, "memory"));
  if (fd === undefined) return undefined;
  using undo = new DisposableStack(); // unless all goes well
  undo.defer(() => closeFd(fd));
  const found = Deno.statSync(`/proc/self/fd/${fd}`);
  if (!found.isFile || found.size !== bytes) {
    throw new VireoError(`${file}: has ${found.size} bytes, not ${bytes}`);
  }
  // In use: it stays, whoever replaces or removes the snapshot.
  tryLock(fd, false, file);
  undo.move();
  const sha256 = String(content["sha256"]);
  const snapshot = new Snapshot(machine, new MemoryImage(fd, bytes), sha256);
  const trusted = isTrusted(folder, content["home"]);
  const saved = `${content["saved"]}`;
  return { snapshot, stored, saved, sha256, origin, trusted };
}

/** What is in `state.json`. */
function readState(folder: string): Record<string, unknown> {
  const path = pathIn(folder, STATE);
  const { size, isFile } = Deno.statSync(path);
  if (!isFile || size > STATE_MAX) throw new VireoError(`${STATE}: too large`);
  try {
    return object(JSON.parse(Deno.readTextFileSync(path)), STATE);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new VireoError(`${STATE}: is not JSON`);
  }
}

/** The same, its checksum being right. */
function stateOf(folder: string, sum: Sum): Record<string, unknown> {
  const content = readState(folder);
  const { sha256, ...rest } = content;
  if (rest["format"] !== FORMAT) {
    throw new VireoError(
      `${STATE}: has format ${JSON.stringify(rest["format"])}; this Vireo ` +
        `reads format ${FORMAT}`,
    );
  }
  if (sha256 !== sum(JSON.stringify(rest))) {
    throw new VireoError(`${STATE}: is not as it was saved (sha256)`);
  }
  return content;
}

function isTrusted(folder: string, home: unknown): boolean {
  const { dev, ino } = home as Home ?? {};
  const now = Deno.statSync(folder);
  const mine = [now, Deno.statSync(pathIn(folder, STATE))].every((info) =>
    info.uid === Deno.uid() && ((info.mode ?? 0o777) & 0o022) === 0
  );
  return mine && now.dev === dev && now.ino === ino;
}

/** The names of RAMs in a folder. */
export function memoryNames(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name)
    .filter((name) => MEMORY_NAME.test(name));
}

/** The memory that the state names now, if that can be read. */
export function namedMemory(folder: string): string | undefined {
  try {
    const state = Deno.readTextFileSync(pathIn(folder, STATE));
    return JSON.parse(state).memory?.file;
  } catch {
    return undefined;
  }
}

function damaged(folder: string, what: string): VireoError {
  return new VireoError(`snapshot "${folder}": ${what}`);
}

/** Whatever goes wrong is told with the folder's name. */
export function telling<T>(folder: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    if (error instanceof Deno.errors.NotFound) {
      throw damaged(folder, "there is none");
    }
    if (error instanceof SystemError || error instanceof Error) {
      throw damaged(folder, error.message);
    }
    throw error;
  }
}
