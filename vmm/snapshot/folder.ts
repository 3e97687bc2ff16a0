/**
 * A snapshot in a folder: `state.json`, and the RAM in a sparse file beside it.
 *
 * The RAM has a new name each time, which `state.json` tells; that is renamed
 * into its place last. So a process that is killed meanwhile leaves the old
 * snapshot or the new one, and a machine that runs on the old one's RAM keeps
 * it.
 *
 * @module
 */
import { createHash, randomUUID } from "node:crypto";
import { join } from "node:path";
import { SystemError, VireoError } from "../../ffi/errno.ts";
import { closeFd, Open, openFd, tryLock } from "../../ffi/file.ts";
import { MiB } from "../../guest/layout.ts";
import {
  decodeMachine,
  encodeMachine,
  integer,
  list,
  object,
} from "./codec.ts";
import { MemoryImage, PIECE } from "./memory_image.ts";
import type { SavedMachine } from "./saved_machine.ts";
import { Snapshot } from "./snapshot.ts";

/** Another one can't be read by this Vireo. */
const FORMAT = 1;
const STATE = "state.json";
/** The longest `state.json`: 32 vCPUs and 19 devices are below 1 MiB. */
const STATE_MAX = 16 * MiB;
const RAM_MAX = 64 * 1024 * MiB;
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

/** Writes the snapshot; the folder is made if it isn't there. */
export function saveFolder(snapshot: Snapshot, folder: string): void {
  telling(folder, () => {
    if (!exists(folder)) Deno.mkdirSync(folder, { mode: 0o700 });
    const { dev, ino } = Deno.statSync(folder);
    const before = memoryNames(folder);
    const file = `memory-${randomUUID()}`;
    using undo = new DisposableStack(); // unless all goes well
    const options = { write: true, createNew: true, mode: 0o600 };
    using memory = Deno.openSync(join(folder, file), options);
    undo.defer(() => Deno.removeSync(join(folder, file)));
    const sums = snapshot.memory.copyTo(memory);
    const content = {
      format: FORMAT,
      saved: new Date().toISOString(),
      home: { dev, ino: ino ?? 0 },
      memory: { file, size: snapshot.memory.size, crc32: sums },
      machine: encodeMachine(snapshot.state),
    };
    const text = JSON.stringify({ ...content, sha256: sum(content) }, null, 1);
    const temporary = join(folder, `${STATE}.${randomUUID()}`);
    Deno.writeTextFileSync(temporary, text + "\n", {
      createNew: true,
      mode: 0o600,
    });
    undo.defer(() => Deno.removeSync(temporary));
    Deno.renameSync(temporary, join(folder, STATE));
    undo.move();
    for (const name of before) removeUnused(join(folder, name));
  });
}

/**
 * Reads a snapshot. The RAM is checked when it is looked at with
 * {@linkcode verifyFolder} only: a restore maps it, and reads what it touches.
 *
 * @throws {VireoError} there is none, or it is damaged, in one line
 */
export function openFolder(folder: string): OpenedFolder {
  const { snapshot, trusted } = read(folder);
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
  const { snapshot, saved } = read(folder);
  using _snapshot = snapshot;
  const { size, fd } = snapshot.memory;
  const blocks = Deno.statSync(`/proc/self/fd/${fd}`).blocks ?? 0;
  const memory = { size, onDisk: 512 * blocks };
  return { saved, memory, machine: snapshot.state };
}

function read(folder: string): {
  snapshot: Snapshot;
  saved: string;
  sums: number[];
  trusted: boolean;
} {
  return telling(folder, () => {
    const content = stateOf(folder);
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
    if (typeof file !== "string" || !MEMORY_NAME.test(file)) {
      throw new VireoError("memory.file: is no name of a memory file");
    }
    const path = join(folder, file);
    const fd = openFd(path, Open.RDONLY, "memory");
    using undo = new DisposableStack(); // unless all goes well
    undo.defer(() => closeFd(fd));
    const found = Deno.statSync(path);
    if (!found.isFile || found.size !== bytes) {
      throw new VireoError(`${file}: has ${found.size} bytes, not ${bytes}`);
    }
    tryLock(fd, false, file); // it is in use: a newer snapshot leaves it there
    undo.move();
    const snapshot = new Snapshot(machine, new MemoryImage(fd, bytes));
    const trusted = isTrusted(folder, content["home"]);
    return { snapshot, saved: String(content["saved"]), sums, trusted };
  });
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

function sum(content: unknown): string {
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

function memoryNames(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name)
    .filter((name) => MEMORY_NAME.test(name));
}

/** Unless a machine maps it. */
function removeUnused(path: string): void {
  const fd = openFd(path, Open.RDONLY, "memory");
  try {
    if (tryLock(fd, true, path)) Deno.removeSync(path);
  } finally {
    closeFd(fd);
  }
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function damaged(folder: string, what: string): VireoError {
  return new VireoError(`snapshot "${folder}": ${what}`);
}

/** Whatever goes wrong is told with the folder's name. */
function telling<T>(folder: string, action: () => T): T {
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
