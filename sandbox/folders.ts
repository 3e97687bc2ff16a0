/**
 * Folders and files that are made, and go again when a later step fails.
 *
 * @module
 */
import { ifThere } from "../ffi/file.ts";
import { JailError, tried } from "./error.ts";

/**
 * Makes a folder, and those above it that are missing. None may be a symbolic
 * link: who was in a jail before may have left one, and this is root.
 *
 * @param path absolute
 * @param undo gets what takes away what was made
 * @throws {JailError} it can't be made
 */
export function makeFolders(path: string, undo: DisposableStack): void {
  const what = `Failed to create directory ${path}`;
  let at = "";
  for (const part of path.split("/").slice(1)) {
    at += `/${part}`;
    const found = tried(what, () => ifThere(() => Deno.lstatSync(at)));
    if (found?.isDirectory) continue;
    if (found !== undefined) throw new JailError(`${at} is not a directory`);
    const one = at;
    tried(what, () => {
      try {
        Deno.mkdirSync(one);
      } catch (error) {
        // Another jail's, which is made at the same time.
        if (error instanceof Deno.errors.AlreadyExists) return;
        throw error;
      }
      undo.defer(() => remove(one));
    });
  }
}

/** Makes an empty file, unless there is one, and what is above it. */
export function makeFile(path: string, undo: DisposableStack): void {
  makeFolders(path.slice(0, path.lastIndexOf("/")), undo);
  if (isFile(path)) return;
  tried(
    `Failed to open file ${path}`,
    () => Deno.openSync(path, { write: true, createNew: true }).close(),
  );
  undo.defer(() => remove(path));
}

/** Copies a file, also over one that is there. */
export function copyFile(
  from: string,
  to: string,
  undo: DisposableStack,
): void {
  const there = isFile(to);
  const what = `Failed to copy ${from} to ${to}`;
  tried(what, () => Deno.copyFileSync(from, to));
  if (!there) undo.defer(() => remove(to));
}

/**
 * True for a file, false when there is nothing.
 *
 * @throws {JailError} it is something else, such as a symbolic link
 */
function isFile(path: string): boolean {
  const found = ifThere(() => Deno.lstatSync(path));
  if (found === undefined || found.isFile) return found !== undefined;
  throw new JailError(`${path} is not a file`);
}

/** Takes a file or an empty folder away; what can't go stays. */
export function remove(path: string): void {
  try {
    Deno.removeSync(path);
  } catch {
    // Somebody has put something into it.
  }
}
