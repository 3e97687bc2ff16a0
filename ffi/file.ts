/**
 * Raw file descriptors: open, close, vectored reads and writes.
 *
 * @module
 */
import { check, Errno, errno, SystemError } from "./errno.ts";
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

const AT_FDCWD = -100, RENAME_EXCHANGE = 2;
const F_GETFL = 3, F_SETFL = 4;
const F_ADD_SEALS = 1033, F_DUPFD_CLOEXEC = 1030;
const MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2;
const F_SEAL_SEAL = 1, F_SEAL_SHRINK = 2, F_SEAL_GROW = 4, F_SEAL_WRITE = 8;
/** Whether a block device is read-only (linux/fs.h). */
const BLKROGET = 0x125e;

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

/** True when a block device's driver refuses writes, whoever may open it. */
export function isReadOnlyDevice(fd: number): boolean {
  const answer = new Int32Array(1);
  return libc.ioctl_buffer(fd, BLKROGET, answer) === 0 && answer[0] !== 0;
}

/** Closes a descriptor. */
export function closeFd(fd: number): void {
  libc.close(fd);
}

/** Turns `O_DIRECT` on or off. */
export function setDirect(fd: number, on: boolean): void {
  const flags = check(libc.fcntl(fd, F_GETFL, 0), "fcntl");
  const other = on ? flags | Open.DIRECT : flags & ~Open.DIRECT;
  check(libc.fcntl(fd, F_SETFL, other), "fcntl");
}

/** A file without a name, of `size` zeros; nothing makes it longer. */
export function createMemoryFile(name: string, size: number): number {
  const flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  const fd = check(libc.memfd_create(cString(name), flags), "memfd_create");
  using undo = new DisposableStack(); // unless all goes well
  undo.defer(() => closeFd(fd));
  check(libc.ftruncate(fd, BigInt(size)), "ftruncate");
  check(libc.fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), "seal");
  undo.move();
  return fd;
}

/**
 * From now on nobody changes what {@linkcode createMemoryFile} gave: it may be
 * mapped privately any number of times.
 *
 * @throws {SystemError} a writable mapping shares it
 */
export function sealMemoryFile(fd: number): void {
  const seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_WRITE;
  check(libc.fcntl(fd, F_ADD_SEALS, seals), "seal");
}

/** Another descriptor of the same open file, with its locks. */
export function duplicateFd(fd: number): number {
  return check(libc.fcntl(fd, F_DUPFD_CLOEXEC, 0), "fcntl");
}

/** `fd` stays, and is another descriptor of what `other` has open. */
export function becomeFd(fd: number, other: number): void {
  check(libc.dup3(other, fd, Open.CLOEXEC), "dup3");
}

/**
 * Reads a file from `at` on; behind its end there are zeros.
 *
 * @param bytes less than 2 GiB
 */
export function readAt(
  fd: number,
  at: number,
  bytes: Uint8Array<ArrayBuffer>,
): void {
  for (let done = 0; done < bytes.length;) {
    const rest = done === 0 ? bytes : bytes.subarray(done);
    const count = libc.pread(fd, rest, rest.length, BigInt(at + done));
    if (count < 0 && errno() === Errno.EINTR) continue;
    if (check(count, "pread") === 0) return void bytes.fill(0, done);
    done += count;
  }
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
 *
 * @param what the file, for errors: `disk "a.raw"`
 * @throws {SystemError} its file system has no locks, or none left
 */
export function tryLock(fd: number, exclusive: boolean, what: string): boolean {
  const mode = exclusive ? Lock.EXCLUSIVE : Lock.SHARED;
  while (libc.flock(fd, mode | Lock.NONBLOCKING) !== 0) {
    const code = errno();
    if (code === Errno.EAGAIN) return false; // EWOULDBLOCK
    if (code === Errno.EINTR) continue;
    const advice = "without a lock nothing keeps another machine off; " +
      "take a file system with flock(2), such as a local one";
    throw new SystemError(`lock ${what}`, code, advice);
  }
  return true;
}

/** Ends the lock at once, whoever else still holds the open file. */
export function unlock(fd: number): void {
  libc.flock(fd, Lock.UNLOCK);
}

/** True when the descriptor is a terminal. */
export function isTerminal(fd: number): boolean {
  return libc.isatty(fd) === 1;
}

/** The path of what is called `name` in a folder. */
export function pathIn(folder: string, name: string): string {
  const end = folder === "" || folder.endsWith("/") ? "" : "/";
  return `${folder}${end}${name}`;
}

/** Whether there is a file of that name, whatever it is. */
export function exists(path: string): boolean {
  return ifThere(() => Deno.lstatSync(path)) !== undefined;
}

/**
 * Puts a file in the place of another one, or where there is none: whoever
 * opens `to` meanwhile gets the one or the other. The two change places, and
 * then the old one goes: where a rename takes the place of a file, ext4 first
 * gives all that was written a place on the disk, some milliseconds.
 */
export function replaceFile(from: string, to: string): void {
  const [a, b] = [cString(from), cString(to)];
  if (libc.renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) === 0) {
    ifThere(() => Deno.removeSync(from));
  } else Deno.renameSync(from, to); // the first one, or none can change places
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
