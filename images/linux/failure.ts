/**
 * Failures of a build that are not the build's: told in one line, with what a
 * person can do.
 *
 * @module
 */
import { VireoError } from "../../ffi/errno.ts";
import { CommandError } from "./logged_command.ts";

const NO_ROOM = /No space left on device|Disk quota exceeded/;
// Without any list of packages, each of them is one that can't be located.
const NO_NETWORK =
  /Temporary failure resolving|Could not resolve|Could not connect|Unable to connect|Network is unreachable|Failed to fetch|Connection (failed|timed out|refused)|Unable to locate package/;
const ROOM_CODES = ["ENOSPC", "EDQUOT"];
const WRITING_CODES = ["EROFS", "EACCES", "EPERM", "ENOTDIR"];

/**
 * The error that a person can make something of; any other stays as it is.
 *
 * @param error what a build failed with
 * @param folder the cache's folder
 */
export function explainFailure(error: unknown, folder: string): unknown {
  if (error instanceof CommandError) {
    if (error.has(NO_ROOM)) return noRoom(folder);
    const line = error.has(NO_NETWORK);
    if (error.program === "apt-get" && line !== undefined) {
      return new VireoError(
        `apt-get can't fetch packages; is there a network? It says: ${line.trim()} ` +
          `(all of its output is in ${error.log})`,
      );
    }
    return error;
  }
  const code = error instanceof Error && "code" in error ? error.code : "";
  if (ROOM_CODES.includes(`${code}`)) return noRoom(folder);
  if (WRITING_CODES.includes(`${code}`)) {
    return new VireoError(
      `${folder} can't be written: ${code}; with XDG_CACHE_HOME it can be ` +
        "another folder",
    );
  }
  return error;
}

function noRoom(folder: string): VireoError {
  return new VireoError(
    `${folder}: no room is left on its disk; with XDG_CACHE_HOME it can be ` +
      "another folder",
  );
}

/**
 * Makes sure of room on a disk before it is needed.
 *
 * @param folder a folder on it
 * @param bytes how much is needed
 * @throws {VireoError} when there is less
 */
export async function ensureRoom(folder: string, bytes: number): Promise<void> {
  const { success, stdout } = await new Deno.Command("df", {
    args: ["--block-size=1", "--output=avail", folder],
    stderr: "null",
  }).output();
  const free = Number(new TextDecoder().decode(stdout).split("\n")[1]);
  // Where nobody knows, it is tried.
  if (!success || !Number.isFinite(free) || free >= bytes) return;
  const mebi = (value: number) => `${Math.floor(value / 1024 ** 2)} MiB`;
  throw new VireoError(
    `${folder}: ${mebi(free)} are free on its disk, and ${mebi(bytes)} are ` +
      "needed; with XDG_CACHE_HOME it can be another folder",
  );
}
