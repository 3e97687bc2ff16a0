/**
 * An image by blocking calls.
 *
 * @module
 */
import { errno } from "../../../ffi/errno.ts";
import { libc } from "../../../ffi/libc.ts";
import type { BlockBackend } from "./backend.ts";
import { ImageBackend, PUNCH, type RawImage, ZERO } from "./image.ts";

const TWO_32 = 0x1_0000_0000;

/** Blocking I/O, for hosts that forbid io_uring. Completes at submission. */
export class SyncBackend extends ImageBackend implements BlockBackend {
  readonly completionFd: number = -1; // completions never wait
  result = 0;
  // A call's iovecs and offset. A bigint that is read from here for a call
  // stays in a register, where BigInt(n) would allocate.
  readonly #words = new Uint32Array(4);
  readonly #wide = new BigInt64Array(this.#words.buffer);
  readonly #tags: Uint32Array;
  readonly #results: Int32Array;
  #head = 0;
  #tail = 0;

  /** Storage on `image`; `requests` is the most requests in flight, a power of two */
  constructor(image: RawImage, requests: number) {
    super(image);
    this.#tags = new Uint32Array(requests);
    this.#results = new Int32Array(requests);
  }

  readv(tag: number, iovecs: number, count: number, offset: number): void {
    this.#set(iovecs, offset);
    const wide = this.#wide;
    this.#done(tag, libc.preadv(this.fd, wide[0]!, count, wide[1]!));
  }

  writev(
    tag: number,
    iovecs: number,
    count: number,
    offset: number,
    durable: boolean,
  ): void {
    this.#set(iovecs, offset);
    const wide = this.#wide;
    const written = libc.pwritev(this.fd, wide[0]!, count, wide[1]!);
    const failed = written > 0 && durable && libc.fdatasync(this.fd) < 0;
    this.#done(tag, failed ? -1 : written);
  }

  zero(tag: number, offset: number, length: number, unmap: boolean): void {
    const [from, bytes] = [BigInt(offset), BigInt(length)];
    const mode = unmap ? PUNCH : ZERO;
    this.#done(tag, libc.fallocate(this.fd, mode, from, bytes));
  }

  flush(tag: number): void {
    this.#done(tag, libc.fdatasync(this.fd));
  }

  submit(): void {}

  next(): number {
    if (this.#head === this.#tail) return -1;
    const slot = this.#head & (this.#tags.length - 1);
    this.#head = (this.#head + 1) | 0;
    this.result = this.#results[slot]!;
    return this.#tags[slot]!;
  }

  wait(): void {}

  enable(): boolean {
    return this.#head !== this.#tail;
  }

  acknowledge(): void {}

  close(): void {}

  #set(iovecs: number, offset: number): void {
    const words = this.#words;
    words[0] = iovecs;
    words[1] = iovecs / TWO_32;
    words[2] = offset;
    words[3] = offset / TWO_32;
  }

  #done(tag: number, result: number): void {
    const slot = this.#tail & (this.#tags.length - 1);
    this.#tail = (this.#tail + 1) | 0;
    this.#tags[slot] = tag;
    this.#results[slot] = result < 0 ? -errno() : result;
  }
}
