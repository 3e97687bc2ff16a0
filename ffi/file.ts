/**
 * Raw file descriptors: open, close, vectored reads and writes.
 *
 * @module
 */
import { check } from "./errno.ts";
import { libc } from "./libc.ts";

/** `O_*` bits, x86-64. */
export const Open = {
  RDONLY: 0,
  WRONLY: 1,
  RDWR: 2,
  CREAT: 0o100,
  EXCL: 0o200,
  TRUNC: 0o1000,
  NONBLOCK: 0o4000,
  DIRECT: 0o40000,
  CLOEXEC: 0o2000000,
} as const;

/** `LOCK_*` bits of flock(2). */
export const Lock = {
  SHARED: 1,
  EXCLUSIVE: 2,
  NONBLOCKING: 4,
  UNLOCK: 8,
} as const;

/** `FALLOC_FL_*` bits of fallocate(2). */
export const Falloc = { KEEP_SIZE: 1, PUNCH_HOLE: 2, ZERO_RANGE: 16 } as const;

const encoder = new TextEncoder();

/** The bytes of `text` with the terminating zero that C wants. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text + "\0");
}

/**
 * Opens `path`.
 *
 * @param what names the object in errors: `disk`, `kernel`, ...
 * @throws {SystemError} `open disk "a.raw": ENOENT (...)`
 */
export function openFd(
  path: string,
  flags: number,
  what: string,
  mode = 0,
): number {
  return check(
    libc.open(cString(path), flags | Open.CLOEXEC, mode),
    () => `open ${what} "${path}"`,
  );
}

/** Closes a descriptor. */
export function closeFd(fd: number): void {
  libc.close(fd);
}

/** The offset of the end of a file or block device, in bytes. */
export function endOfFile(fd: number): number {
  const SEEK_END = 2;
  const end = Number(libc.lseek(fd, 0n, SEEK_END));
  return check(end, "lseek");
}

/**
 * Locks the open file without waiting; false when another process holds a
 * lock that excludes this one. The lock ends with the descriptor.
 */
export function tryLock(fd: number, exclusive: boolean): boolean {
  const mode = exclusive ? Lock.EXCLUSIVE : Lock.SHARED;
  return libc.flock(fd, mode | Lock.NONBLOCKING) === 0;
}

/** Ends the lock at once, whoever else still holds the open file. */
export function unlock(fd: number): void {
  libc.flock(fd, Lock.UNLOCK);
}

/** True when the descriptor is a terminal. */
export function isTerminal(fd: number): boolean {
  return libc.isatty(fd) === 1;
}
