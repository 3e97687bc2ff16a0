/**
 * A file that guest RAM is mapped to, so that other programs can look at it.
 *
 * @module
 */
import { VireoError } from "../ffi/errno.ts";
import { closeFd, Open, openFd, tryLock } from "../ffi/file.ts";
import { MiB } from "./layout.ts";

/** An open memory file, all zero. */
export class MemoryFile implements Disposable {
  /** The descriptor. */
  readonly fd: number;
  readonly #path: string;
  #removed: boolean;

  /**
   * Opens the file, or makes one of `size` bytes without blocks.
   *
   * One that is there is taken only if it has that size already: it may be
   * somebody's data. It is emptied, because RAM is zero at first, and locked
   * against other machines.
   *
   * @throws {VireoError} when it can't be had
   */
  constructor(path: string, size: number) {
    const found = statFile(path);
    if (found && found.size !== size) {
      throw new VireoError(
        `memory file "${path}": has ${found.size} bytes, not the ` +
          `${size / MiB} MiB of the guest's memory; name another file`,
      );
    }
    const made = found ? 0 : Open.CREAT | Open.EXCL;
    this.#path = path;
    this.#removed = !found;
    this.fd = openFd(path, Open.RDWR | made, "memory file", 0o600);
    try {
      if (!tryLock(this.fd, true, `memory file "${path}"`)) {
        throw new VireoError(`memory file "${path}": another machine uses it`);
      }
      if (found) Deno.truncateSync(path, 0);
      Deno.truncateSync(path, size);
    } catch (error) {
      this[Symbol.dispose]();
      throw explain(path, error);
    }
  }

  /** A file that was made for this is not removed when it's closed. */
  keep(): void {
    this.#removed = false;
  }

  /** Closes the file, which ends the lock. */
  [Symbol.dispose](): void {
    closeFd(this.fd);
    if (this.#removed) Deno.removeSync(this.#path);
  }
}

/** Information about a regular file; undefined when there is nothing. */
function statFile(path: string): Deno.FileInfo | undefined {
  let info: Deno.FileInfo;
  try {
    info = Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw explain(path, error);
  }
  if (info.isFile) return info;
  throw new VireoError(`memory file "${path}": is not a regular file`);
}

function explain(path: string, error: unknown): unknown {
  if (error instanceof VireoError) return error;
  if (error instanceof Deno.errors.NotCapable) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new VireoError(`memory file "${path}": ${reason}`);
}
