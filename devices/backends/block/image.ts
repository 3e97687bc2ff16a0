/**
 * A raw disk image, or a block device, on the host: what it is, however it is
 * read.
 *
 * @module
 */
import { VireoError } from "../../../ffi/error.ts";
import { endOfFile, Falloc } from "../../../ffi/file.ts";

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
  /** The descriptor may become another image's while it is used. */
  replaceable?: boolean;
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
