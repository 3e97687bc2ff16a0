/**
 * Reads a snapshot in a folder: `state.json`, which people can read, too, and
 * the RAM in a sparse file beside it.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { Errno, SystemError, VireoError } from "../../ffi/errno.ts";
import { closeFd, Open, openFd, tryLock } from "../../ffi/file.ts";
import { MiB } from "../../guest/layout.ts";
import { decodeMachine, integer, list, object } from "./codec.ts";
import { checkCpu, type Origin, readOrigin } from "./host.ts";
import { MemoryImage, PIECE } from "./memory_image.ts";
import type { SavedMachine } from "./saved_machine.ts";
import { Snapshot } from "./snapshot.ts";

/** Another one can't be read by this Vireo. */
export const FORMAT = 1;
/** The file with all but the RAM. */
export const STATE = "state.json";
/** The longest `state.json`: 32 vCPUs and 19 devices are below 1 MiB. */
const STATE_MAX = 16 * MiB;
const RAM_MAX = 64 * 1024 * MiB;
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
 * @throws {VireoError} there is none, or it is damaged, in one line
 */
export function openFolder(folder: string): OpenedFolder {
  const { snapshot, trusted, origin } = read(folder);
  try {
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

/**
 * Reads all of a snapshot.
 *
 * @throws {VireoError} what is damaged
 */
export function verifyFolder(folder: string): void {
  const { snapshot, sums } = read(folder);
  using _snapshot = snapshot;
  const found = snapshot.memory.sums();
  const index = found.findIndex((value, i) => value !== sums[i]);
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
  /** All but the RAM. */
  machine: SavedMachine;
}

/**
 * What is in a snapshot.
 *
 * @throws {VireoError} there is none, or it is damaged
 */
export function describeFolder(folder: string): FolderDescription {
  const { snapshot, saved, origin } = read(folder);
  using _snapshot = snapshot;
  const { size, fd } = snapshot.memory;
  const blocks = Deno.statSync(`/proc/self/fd/${fd}`).blocks ?? 0;
  const memory = { size, onDisk: 512 * blocks };
  return { saved, origin, memory, machine: snapshot.state };
}

/** A snapshot, and what else its state says. */
export interface Found {
  snapshot: Snapshot;
  saved: string;
  origin: Origin;
  sums: number[];
  trusted: boolean;
}

/** Reads a snapshot: all that is small. */
export function read(folder: string): Found {
  return telling(folder, () => {
    for (let tries = 1;; tries++) {
      const content = stateOf(folder);
      const found = openFound(folder, content);
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
): Found | undefined {
  const { file, size, crc32 } = object(content["memory"], "memory");
  const bytes = integer(size, "memory.size", 4096, RAM_MAX);
  const pieces = Math.ceil(bytes / PIECE);
  const sums = list(
    crc32,
    "memory.crc32",
    pieces,
    pieces,
    (item, at) => integer(item, at, 0, 2 ** 32 - 1),
  );
  const machine = decodeMachine(content["machine"]);
  const origin = readOrigin(content["origin"]);
  if (typeof file !== "string" || !MEMORY_NAME.test(file)) {
    throw new VireoError("memory.file: is no name of a memory file");
  }
  const path = join(folder, file);
  const fd = ifThere(() => openFd(path, Open.RDONLY, "memory"));
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
  const snapshot = new Snapshot(machine, new MemoryImage(fd, bytes));
  const trusted = isTrusted(folder, content["home"]);
  const saved = String(content["saved"]);
  return { snapshot, saved, origin, sums, trusted };
}

/** What is in `state.json`, its checksum being right. */
function stateOf(folder: string): Record<string, unknown> {
  const path = join(folder, STATE);
  const { size, isFile } = Deno.statSync(path);
  if (!isFile || size > STATE_MAX) throw new VireoError(`${STATE}: too large`);
  let content: Record<string, unknown>;
  try {
    content = object(JSON.parse(Deno.readTextFileSync(path)), STATE);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new VireoError(`${STATE}: is not JSON`);
  }
  const { sha256, ...rest } = content;
  if (rest["format"] !== FORMAT) {
    throw new VireoError(
      `${STATE}: has format ${JSON.stringify(rest["format"])}; this Vireo ` +
        `reads format ${FORMAT}`,
    );
  }
  if (sha256 !== sum(rest)) {
    throw new VireoError(`${STATE}: is not as it was saved (sha256)`);
  }
  return rest;
}

/** A checksum of what `state.json` says. */
export function sum(content: unknown): string {
  return createHash("sha256").update(JSON.stringify(content)).digest("hex");
}

function isTrusted(folder: string, home: unknown): boolean {
  const { dev, ino } = home as Home ?? {};
  const now = Deno.statSync(folder);
  const mine = [now, Deno.statSync(join(folder, STATE))].every((info) =>
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
    return JSON.parse(Deno.readTextFileSync(join(folder, STATE))).memory?.file;
  } catch {
    return undefined;
  }
}

/** Whether there is a file of that name, whatever it is. */
export function exists(path: string): boolean {
  return ifThere(() => Deno.lstatSync(path)) !== undefined;
}

/** What `action` returns; undefined when it finds no file, or no more. */
export function ifThere<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    const gone = error instanceof Deno.errors.NotFound ||
      error instanceof SystemError && error.errno === Errno.ENOENT;
    if (gone) return undefined;
    throw error;
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
