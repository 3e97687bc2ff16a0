/**
 * A raw disk image, or a block device, on the host.
 *
 * @module
 */
import { VireoError } from "../../../ffi/error.ts";
import {
  closeFd,
  endOfFile,
  Falloc,
  Open,
  openFd,
  tryLock,
  unlock,
} from "../../../ffi/file.ts";
import { createEventFd, drainEventFd } from "../../../ffi/eventfd.ts";
import { IoUring, RWF_DSYNC } from "../../../ffi/io_uring.ts";
import { IOVEC_SIZE, Iovecs } from "../../../ffi/iovecs.ts";
import { Mapping } from "../../../ffi/mmap.ts";
import { libc } from "../../../ffi/libc.ts";
import type { BlockBackend } from "./backend.ts";

/** Bytes per sector of virtio-blk. */
export const SECTOR = 512;

/** Milliseconds that a lock is waited for, and between two tries. */
const LOCK_WAIT = 300, LOCK_STEP = 20;

/** How to open an image. */
export interface RawImageOptions {
  /** Path of the image or block device. */
  path: string;
  /** Open for reading only; the file is never opened for writing. */
  readOnly?: boolean;
  /** Bypass the page cache (`O_DIRECT`). */
  direct?: boolean;
}

/** An open image as plain data, to hand to the device worker. */
export interface RawImage {
  /** The descriptor; its owner closes it. */
  fd: number;
  /** Its path, for messages. */
  path: string;
  /** Size in bytes. */
  size: number;
  /** Opened for reading only. */
  readOnly: boolean;
  /** The page cache is bypassed. */
  direct: boolean;
  /** The smallest unit of I/O in bytes. */
  blockSize: number;
  /** The file system's or device's own unit, in bytes. */
  physicalBlockSize: number;
}

/**
 * Opens an image. Never creates, truncates or extends it. It is locked, so
 * that no two machines write to it.
 *
 * @throws {VireoError} missing, unreadable, a directory, odd size, in use
 */
export function openRawImage(options: RawImageOptions): RawImage {
  const { path, readOnly = false, direct = false } = options;
  const info = statImage(path);
  if (info.isDirectory) throw new VireoError(`disk "${path}": is a directory`);
  if (!info.isFile && !info.isBlockDevice) {
    throw new VireoError(`disk "${path}": is not a file or block device`);
  }
  const mode = readOnly ? Open.RDONLY : Open.RDWR;
  const fd = openFd(path, mode | (direct ? Open.DIRECT : 0), "disk");
  try {
    const size = imageSize(fd, path);
    if (!lockSoon(fd, !readOnly)) {
      throw new VireoError(
        `disk "${path}": another machine uses it` +
          (readOnly ? " for writing" : "; add ,ro to both to share it"),
      );
    }
    const blockSize = direct ? directUnit(fd) : SECTOR;
    const physicalBlockSize = physicalUnit(info, blockSize);
    return {
      ...{ fd, path, size, readOnly, direct },
      ...{ blockSize, physicalBlockSize },
    };
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}

function imageSize(fd: number, path: string): number {
  const size = endOfFile(fd);
  if (size === 0) throw new VireoError(`disk "${path}": is empty`);
  if (size % SECTOR === 0) return size;
  throw new VireoError(
    `disk "${path}": its size, ${size} bytes, is not a multiple of ` +
      `${SECTOR}; extend it with: truncate -s %${SECTOR} "${path}"`,
  );
}

/** A file system's block; of a larger one, a page is what matters. */
function physicalUnit({ blksize }: Deno.FileInfo, least: number): number {
  const size = Math.min(blksize ?? least, 4096);
  return size > least && Number.isInteger(Math.log2(size)) ? size : least;
}

/**
 * Locks the image. A machine whose process was just killed holds its images
 * until the kernel has torn its io_uring down: wait a moment for that.
 */
function lockSoon(fd: number, exclusive: boolean): boolean {
  const word = new Int32Array(new SharedArrayBuffer(4));
  for (let left = LOCK_WAIT; left > 0; left -= LOCK_STEP) {
    if (tryLock(fd, exclusive)) return true;
    Atomics.wait(word, 0, 0, LOCK_STEP);
  }
  return tryLock(fd, exclusive);
}

/** Unlocks and closes an image. */
export function closeRawImage(image: RawImage): void {
  // Closing is not enough: the kernel tears an io_uring down later, and it
  // holds the file, with its lock, until then.
  unlock(image.fd);
  closeFd(image.fd);
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

/** The unit that O_DIRECT wants on this file system: 512 or 4096. */
function directUnit(fd: number): number {
  using page = new Mapping(4096, { name: "probe" });
  using vector = new Mapping(IOVEC_SIZE, { name: "probe" });
  const iovecs = new Iovecs(vector, 0, 1);
  iovecs.set(0, page.address, SECTOR);
  return libc.preadv(fd, iovecs.pointerTo(0), 1, 0n) < 0 ? 4096 : SECTOR;
}

/** `fallocate` modes of {@linkcode BlockBackend.zero}: with `unmap`, without. */
export const PUNCH = Falloc.PUNCH_HOLE | Falloc.KEEP_SIZE;
export const ZERO = Falloc.ZERO_RANGE | Falloc.KEEP_SIZE;

/** What an image is, however it is read. */
export abstract class ImageBackend {
  size: number;
  readonly readOnly: boolean;
  readonly blockSize: number;
  readonly physicalBlockSize: number;
  /** The image's descriptor. */
  protected readonly fd: number;
  readonly #path: string;

  constructor(image: RawImage) {
    this.fd = image.fd;
    this.#path = image.path;
    this.size = image.size;
    this.readOnly = image.readOnly;
    this.blockSize = image.blockSize;
    this.physicalBlockSize = image.physicalBlockSize;
  }

  resize(): void {
    this.size = imageSize(this.fd, this.#path);
  }
}

/** Asynchronous I/O through io_uring. */
export class UringBackend extends ImageBackend implements BlockBackend {
  readonly completionFd: number;
  readonly #ring: IoUring;

  /** Storage on `image`; `requests` is the most requests in flight, a power of two */
  constructor(image: RawImage, requests: number) {
    super(image);
    using undo = new DisposableStack(); // unless all goes well
    this.#ring = undo.use(new IoUring(image.fd, requests));
    this.completionFd = undo.adopt(createEventFd(), closeFd);
    this.#ring.registerEventFd(this.completionFd);
    undo.move();
  }

  get result(): number {
    return this.#ring.result;
  }

  readv(tag: number, iovecs: number, count: number, offset: number): void {
    this.#makeRoom();
    this.#ring.readv(tag, iovecs, count, offset);
  }

  writev(
    tag: number,
    iovecs: number,
    count: number,
    offset: number,
    durable: boolean,
  ): void {
    this.#makeRoom();
    this.#ring.writev(tag, iovecs, count, offset, durable ? RWF_DSYNC : 0);
  }

  zero(tag: number, offset: number, length: number, unmap: boolean): void {
    this.#makeRoom();
    this.#ring.fallocate(tag, unmap ? PUNCH : ZERO, offset, length);
  }

  flush(tag: number): void {
    this.#makeRoom();
    this.#ring.fdatasync(tag);
  }

  submit(): void {
    if (this.#ring.unsubmitted === 0) return;
    this.#ring.signalCompletions = false;
    this.#ring.submit();
  }

  next(): number {
    return this.#ring.next();
  }

  enable(): boolean {
    this.#ring.signalCompletions = true;
    return this.#ring.hasCompletions || this.#ring.unsubmitted > 0;
  }

  wait(): void {
    this.#ring.wait();
  }

  acknowledge(): void {
    drainEventFd(this.completionFd);
  }

  close(): void {
    this.#ring.close();
    closeFd(this.completionFd);
  }

  #makeRoom(): void {
    if (this.#ring.room === 0) this.#ring.submit();
  }
}
