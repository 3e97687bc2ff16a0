/**
 * A file that guest RAM is mapped to, so that other programs can look at it.
 *
 * @module
 */
import { check, Errno, errno, SystemError, VireoError } from "../ffi/errno.ts";
import { OwnName } from "../ffi/own_name.ts";
import {
  closeFd,
  endOfFile,
  Falloc,
  Open,
  openFd,
  tryLock,
} from "../ffi/file.ts";
import { libc } from "../ffi/libc.ts";
import { MiB } from "./layout.ts";

/** An open memory file, all zero. */
export class MemoryFile implements Disposable {
  /** The descriptor. */
  readonly fd: number;
  readonly #path: string;
  readonly #size: number;
  #name: OwnName | undefined; // to be removed

  /**
   * Opens the file, or makes one of `size` bytes. All of its room is reserved:
   * a page for which there is none later would be a SIGBUS.
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
    this.#size = size;
    this.fd = openFd(path, Open.RDWR | made, "memory file", 0o600);
    try {
      if (!found) this.#name = new OwnName(path);
      if (!tryLock(this.fd, true, `memory file "${path}"`)) {
        throw new VireoError(`memory file "${path}": another machine uses it`);
      }
      this.#reserve(); // before anything is lost of one that is there
      if (found) {
        check(libc.ftruncate(this.fd, 0n), "ftruncate");
        this.#reserve();
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw explain(path, error);
    }
  }

  /** A file that was made for this is not removed when it's closed. */
  keep(): void {
    this.#name = undefined;
  }

  /**
   * What has become of the file, if RAM can't be in it any more; undefined: it
   * can.
   */
  fault(): string | undefined {
    const what = `memory file "${this.#path}"`;
    const end = endOfFile(this.fd);
    if (end < this.#size) return `${what}: was cut to ${end} bytes`;
    const code = this.#allocate(Falloc.KEEP_SIZE);
    if (code === 0) return undefined;
    return new SystemError(`${what}: no room for what was given back`, code)
      .message;
  }

  /** Closes the file, which ends the lock. */
  [Symbol.dispose](): void {
    this.#name?.[Symbol.dispose]();
    closeFd(this.fd);
  }

  #reserve(): void {
    const code = this.#allocate(0);
    if (code === 0) return;
    throw new SystemError(
      `memory file "${this.#path}": reserve ${this.#size / MiB} MiB`,
      code,
      "name one on a file system that has room, such as /dev/shm",
    );
  }

  /** 0, or why not all of the file has room. */
  #allocate(mode: number): number {
    for (;;) {
      const size = BigInt(this.#size);
      if (libc.fallocate(this.fd, mode, 0n, size) === 0) return 0;
      const code = errno();
      if (code !== Errno.EINTR) return code;
    }
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
