/**
 * Where a kernel or an initrd comes from: a file, or bytes that are part of
 * Vireo. Both are copied once, straight to where they belong in the guest.
 *
 * @module
 */
import { Errno, errno, errnoName, errnoText } from "../../ffi/errno.ts";
import { closeFd, endOfFile, Open, openFd } from "../../ffi/file.ts";
import { libc } from "../../ffi/libc.ts";
import { KernelError } from "./error.ts";

/** A path, or the contents themselves. */
export type BootFile = string | Uint8Array;

const SEEK_SET = 0;
const NO_FD = -1;

// The kernel reads at most 0x7ffff000 bytes per call anyway (read(2)), and
// the count must fit the 32-bit result.
const READ_MAX = 0x4000_0000;

// What a decoder makes of one piece is held at once: it must not be much.
const STREAM_PIECE = 64 * 1024;

/** A kernel or initrd, open for reading. */
export class OpenBootFile {
  /** Names the object in errors: `kernel "vmlinux"`. */
  readonly label: string;
  /** Size in bytes, never 0. */
  readonly size: number;
  readonly #fd: number;
  readonly #bytes: Uint8Array | undefined;

  /**
   * Opens `file`.
   *
   * @param what names the object in errors: `kernel`, `initrd`
   * @param label of bytes, where `embedded kernel` would not say it
   * @throws {SystemError} when it can't be opened
   * @throws {KernelError} when it is a directory, a pipe, or empty
   */
  constructor(file: BootFile, what: string, label = `embedded ${what}`) {
    if (typeof file !== "string") {
      this.label = label;
      this.#fd = NO_FD;
      this.#bytes = file;
      this.size = file.length;
      if (file.length === 0) throw this.#error("is empty");
      return;
    }
    this.label = `${what} "${file}"`;
    // NONBLOCK: a FIFO without a writer must not hang the open.
    this.#fd = openFd(file, Open.RDONLY | Open.NONBLOCK, what);
    try {
      this.size = this.#measure();
    } catch (error) {
      closeFd(this.#fd);
      throw error;
    }
  }

  /**
   * Fills all of `target` with the bytes at `offset`.
   *
   * @throws {KernelError} when the file ends before, or can't be read
   */
  read(offset: number, target: Uint8Array<ArrayBuffer>): void {
    if (this.#bytes !== undefined) {
      const end = offset + target.length;
      if (end > this.size) throw this.#truncated(end, this.size);
      target.set(this.#bytes.subarray(offset, end));
      return;
    }
    if (libc.lseek(this.#fd, BigInt(offset), SEEK_SET) < 0n) {
      throw this.#unreadable(errno());
    }
    for (let done = 0; done < target.length;) {
      const rest = target.subarray(done, done + READ_MAX);
      const count = libc.read_u32(this.#fd, rest, rest.length);
      const code = count < 0 ? errno() : 0;
      if (code === Errno.EINTR) continue;
      if (code !== 0) throw this.#unreadable(code);
      // Only when somebody shortens the file in this moment.
      if (count === 0) {
        throw this.#truncated(offset + target.length, offset + done);
      }
      done += count;
    }
  }

  /** The first bytes of the file: `length`, or all that it has. */
  head(length: number): Uint8Array<ArrayBuffer> {
    return this.slice(0, Math.min(this.size, length));
  }

  /**
   * A copy of `length` bytes from `offset` on, in a buffer of its own.
   *
   * @throws {KernelError} as {@linkcode read} does
   */
  slice(offset: number, length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    this.read(offset, bytes);
    return bytes;
  }

  /**
   * The bytes from `offset` on, as a stream of small pieces.
   *
   * @param onRead told how many bytes have been read, before each piece
   */
  stream(
    offset: number,
    length: number,
    onRead: (count: number) => void = () => {},
  ): ReadableStream<Uint8Array<ArrayBuffer>> {
    const end = offset + length;
    let at = offset;
    return new ReadableStream({
      pull: (controller) => {
        onRead(at - offset);
        if (at === end) return controller.close();
        const piece = new Uint8Array(Math.min(STREAM_PIECE, end - at));
        this.read(at, piece);
        at += piece.length;
        controller.enqueue(piece);
      },
    });
  }

  /** Closes the file. */
  close(): void {
    if (this.#fd !== NO_FD) closeFd(this.#fd);
  }

  /** `using` support. */
  [Symbol.dispose](): void {
    this.close();
  }

  #measure(): number {
    // Directories open and even seek; only reading tells.
    if (libc.read_u32(this.#fd, new Uint8Array(1), 1) < 0) {
      const code = errno();
      if (code === Errno.EISDIR) throw this.#error("is a directory");
      if (code !== Errno.EINTR && code !== Errno.EAGAIN) {
        throw this.#unreadable(code);
      }
    }
    let size: number;
    try {
      size = endOfFile(this.#fd);
    } catch {
      throw this.#error("is a pipe or device; give a regular file");
    }
    if (size === 0) throw this.#error("is empty");
    return size;
  }

  #error(reason: string): KernelError {
    return new KernelError(this.label, reason);
  }

  #unreadable(code: number): KernelError {
    const reason = `${errnoName(code)} (${errnoText(code)})`;
    return this.#error(`can't be read: ${reason}`);
  }

  #truncated(wanted: number, size: number): KernelError {
    return this.#error(
      `is truncated: byte ${wanted} is wanted but the file has ${size}`,
    );
  }
}
