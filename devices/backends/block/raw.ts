/**
 * A raw disk image, or a block device, on the host.
 *
 * @module
 */
import { VireoError } from "../../../ffi/error.ts";
import { closeFd, endOfFile, Falloc } from "../../../ffi/file.ts";
import { createEventFd, drainEventFd } from "../../../ffi/eventfd.ts";
import { IoUring, RWF_DSYNC } from "../../../ffi/io_uring.ts";
import type { BlockBackend } from "./backend.ts";

/** Bytes per sector of virtio-blk. */
export const SECTOR = 512;

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
  /** The smallest unit of I/O that the descriptor takes, in bytes. */
  blockSize: number;
  /** The file system's or device's own unit, in bytes. */
  physicalBlockSize: number;
  /** For a loop device: a descriptor of its file, which is locked, too. */
  backing?: number;
}

/**
 * The size of an open image in bytes.
 *
 * @throws {VireoError} it is 0, or no multiple of a sector
 */
export function imageSize(fd: number, path: string): number {
  const size = endOfFile(fd);
  if (size === 0) throw new VireoError(`disk "${path}": is empty`);
  if (size % SECTOR === 0) return size;
  throw new VireoError(
    `disk "${path}": its size, ${size} bytes, is not a multiple of ` +
      `${SECTOR}; extend it with: truncate -s %${SECTOR} "${path}"`,
  );
}

/** `fallocate` modes of {@linkcode BlockBackend.zero}: with `unmap`, without. */
export const PUNCH = Falloc.PUNCH_HOLE | Falloc.KEEP_SIZE;
export const ZERO = Falloc.ZERO_RANGE | Falloc.KEEP_SIZE;

/** What an image is, however it is read. */
export abstract class ImageBackend {
  size: number;
  readonly readOnly: boolean;
  readonly physicalBlockSize: number;
  /** The image's descriptor. */
  protected readonly fd: number;
  readonly #path: string;

  constructor(image: RawImage) {
    this.fd = image.fd;
    this.#path = image.path;
    this.size = image.size;
    this.readOnly = image.readOnly;
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
