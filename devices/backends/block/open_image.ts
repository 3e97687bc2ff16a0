/**
 * Opens disk images and block devices, for one writer at a time.
 *
 * @module
 */
import { Errno, errno, SystemError, VireoError } from "../../../ffi/errno.ts";
import {
  closeFd,
  isReadOnlyDevice,
  Open,
  openFd,
  tryLock,
  unlock,
} from "../../../ffi/file.ts";
import { IOVEC_SIZE, Iovecs } from "../../../ffi/iovecs.ts";
import { libc } from "../../../ffi/libc.ts";
import { Mapping } from "../../../ffi/memory/mmap.ts";
import { backingOf, deviceNumbers, loopsOver, usageOf } from "./host_usage.ts";
import { imageSize, type RawImage, SECTOR } from "./image.ts";

/** Milliseconds that a lock is waited for, and between two tries. */
const LOCK_WAIT = 300, LOCK_STEP = 20;
/** The largest block that `O_DIRECT` is tried with. */
const BLOCK_MAX = 64 * 1024;

/** How to open an image. */
export interface RawImageOptions {
  /** Path of the image or block device. */
  path: string;
  /** Open for reading only; the file is never opened for writing. */
  readOnly?: boolean;
  /** Bypass the page cache (`O_DIRECT`). */
  direct?: boolean;
}

/** An image that was opened. */
export interface OpenImage extends RawImage {
  /** It can be used, but its owner should know this: one line. */
  warning?: string;
}

/**
 * Opens an image. Never creates, truncates or extends it. It is locked, so
 * that no two machines write to it, and the host doesn't either.
 *
 * @throws {VireoError} missing, unreadable, a directory, odd size, in use
 */
export function openRawImage(options: RawImageOptions): OpenImage {
  const { path, readOnly = false, direct = false } = options;
  const info = statImage(path);
  if (info.isDirectory) throw new VireoError(`disk "${path}": is a directory`);
  if (!info.isFile && !info.isBlockDevice) {
    throw new VireoError(`disk "${path}": is not a file or block device`);
  }
  using undo = new DisposableStack(); // unless all goes well
  const fd = undo.adopt(openDisk(path, info, readOnly, direct), closeFd);
  const size = imageSize(fd, path);
  if (!lockSoon(fd, !readOnly, path)) {
    throw new VireoError(
      `disk "${path}": another machine uses it` +
        (readOnly ? " for writing" : "; add ,ro to both to share it"),
    );
  }
  const backing = info.isBlockDevice ? lockBacking(path, info) : undefined;
  if (backing !== undefined) undo.adopt(backing, closeFd);
  const warning = usedByHost(path, info, readOnly);
  const blockSize = direct ? directUnit(fd) : SECTOR;
  const physicalBlockSize = physicalUnit(info, blockSize);
  undo.move();
  return {
    ...{ fd, path, size, readOnly, direct, blockSize, physicalBlockSize },
    ...(backing !== undefined && { backing }),
    ...(warning !== undefined && { warning }),
  };
}

/** Unlocks and closes an image. */
export function closeRawImage(image: RawImage): void {
  // Closing is not enough: the kernel tears an io_uring down later, and it
  // holds the file, with its lock, until then.
  unlock(image.fd);
  closeFd(image.fd);
  if (image.backing !== undefined) closeFd(image.backing);
}

/** Opens what `info` is of; a device that is written to, for nobody else. */
function openDisk(
  path: string,
  { isBlockDevice, rdev }: Deno.FileInfo,
  readOnly: boolean,
  direct: boolean,
): number {
  // open(2): without O_CREAT, O_EXCL is for a block device that is not mounted,
  // and can't be then.
  const writing = Open.RDWR | (isBlockDevice ? Open.EXCL : 0);
  const flags = (readOnly ? Open.RDONLY : writing) | (direct ? Open.DIRECT : 0);
  try {
    const fd = openFd(path, flags, "disk");
    if (readOnly || !isBlockDevice || !isReadOnlyDevice(fd)) return fd;
    closeFd(fd);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    if (error.errno === Errno.EBUSY) throw busy(path, rdev ?? 0);
    if (error.errno === Errno.EINVAL && direct) {
      throw new VireoError(
        `disk "${path}": its file system has no O_DIRECT; leave out ,direct`,
      );
    }
    if (readOnly || !isReadable(path)) throw error;
    throw new SystemError(error.operation, error.errno, "add ,ro to read it");
  }
  throw new VireoError(`disk "${path}": is a read-only device; add ,ro`);
}

function isReadable(path: string): boolean {
  try {
    closeFd(openFd(path, Open.RDONLY, "disk"));
    return true;
  } catch {
    return false;
  }
}

/** Why a device can't be had for this machine alone. */
function busy(path: string, rdev: number): VireoError {
  const use = usageOf(deviceNumbers(rdev));
  if (use) {
    return new VireoError(`disk "${path}": ${use}; the host must let go`);
  }
  return new VireoError(
    `disk "${path}": another machine uses it, or the host does; ` +
      "add ,ro to all that share it",
  );
}

/**
 * Locks the image. A machine whose process was just killed holds its images
 * until the kernel has torn its io_uring down: wait a moment for that.
 */
function lockSoon(fd: number, exclusive: boolean, path: string): boolean {
  const what = `disk "${path}"`;
  const word = new Int32Array(new SharedArrayBuffer(4));
  for (let left = LOCK_WAIT; left > 0; left -= LOCK_STEP) {
    if (tryLock(fd, exclusive, what)) return true;
    Atomics.wait(word, 0, 0, LOCK_STEP);
  }
  return tryLock(fd, exclusive, what);
}

/**
 * Locks the file behind a loop device against machines that would write to it
 * directly; not against other loop devices, which may have other parts of it.
 *
 * @returns its descriptor; undefined: there is none that can be opened
 */
function lockBacking(
  path: string,
  { rdev }: Deno.FileInfo,
): number | undefined {
  const file = backingOf(deviceNumbers(rdev ?? 0));
  if (file === undefined || !isReadable(file)) return undefined;
  using undo = new DisposableStack(); // unless it is locked
  const fd = undo.adopt(openFd(file, Open.RDONLY, "disk"), closeFd);
  if (!lockSoon(fd, false, file)) {
    throw new VireoError(
      `disk "${path}": another machine writes to its file, "${file}"`,
    );
  }
  undo.move();
  return fd;
}

/**
 * What is to be said of the host's own use of an image.
 *
 * @throws {VireoError} both would write
 */
function usedByHost(
  path: string,
  info: Deno.FileInfo,
  readOnly: boolean,
): string | undefined {
  const torn = "the guest may see it half changed";
  if (info.isBlockDevice) {
    // A writer has it for itself.
    const use = readOnly && usageOf(deviceNumbers(info.rdev ?? 0), true);
    return use ? `disk "${path}": ${use}: ${torn}` : undefined;
  }
  for (const { name, numbers } of loopsOver(info)) {
    const use = usageOf(numbers, readOnly);
    const text = `disk "${path}": is /dev/${name} too`;
    if (use && readOnly) return `${text}, which ${use}: ${torn}`;
    if (use) {
      throw new VireoError(`${text}, which ${use}; the host must let go`);
    }
    if (!readOnly) return `${text}: what uses both sees it half changed`;
  }
}

function statImage(path: string): Deno.FileInfo {
  try {
    return Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw new VireoError(`disk "${path}": no such file`);
    }
    // Permission denied, not a directory, name too long, ...
    if (error instanceof Deno.errors.NotCapable) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new VireoError(`disk "${path}": ${reason}`);
  }
}

/** The block that O_DIRECT wants here: a power of two, 512 or more. */
function directUnit(fd: number): number {
  using room = new Mapping(BLOCK_MAX, { name: "probe" });
  using vector = new Mapping(IOVEC_SIZE, { name: "probe" });
  const iovecs = new Iovecs(vector, 0, 1);
  for (let size = SECTOR; size < BLOCK_MAX; size *= 2) {
    iovecs.set(0, room.address, size);
    const address = BigInt(iovecs.addressOf(0));
    if (libc.preadv(fd, address, 1, 0n) >= 0) return size;
    if (errno() !== Errno.EINVAL) break; // a bad disk: guests are told so
  }
  return 4096;
}

/** A file system's block; of a larger one, a page is what matters. */
function physicalUnit({ blksize }: Deno.FileInfo, least: number): number {
  const size = Math.min(blksize ?? least, 4096);
  return size > least && Number.isInteger(Math.log2(size)) ? size : least;
}
