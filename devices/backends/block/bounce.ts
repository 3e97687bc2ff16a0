/**
 * Requests that `O_DIRECT` refuses, since they are not of whole blocks, or not
 * in memory that is aligned (open(2)): they go through memory that is. Only a
 * disk that needs it has this around its backend.
 *
 * @module
 */
import { Errno, errno } from "../../../ffi/errno.ts";
import {
  closeFd,
  createMemoryFile,
  endOfFile,
  setDirect,
} from "../../../ffi/file.ts";
import { IOVEC_SIZE, Iovecs } from "../../../ffi/iovecs.ts";
import { libc } from "../../../ffi/libc.ts";
import { Mapping, viewOf } from "../../../ffi/memory/mmap.ts";
import type { BlockBackend } from "./backend.ts";
import type { RawImage } from "./image.ts";

/** Bytes that go at once; what is more comes as a short transfer. */
const SIZE = 256 * 1024;

/** What may have to go through the bounce buffer. */
const Kind = { OTHER: 0, READ: 1, WRITE: 2, DURABLE_WRITE: 3 } as const;

/** A backend around another, whose refusals it makes good. */
export class BounceBackend implements BlockBackend {
  readonly readOnly: boolean;
  readonly physicalBlockSize: number;
  readonly completionFd: number;
  result = 0;
  readonly #inner: BlockBackend;
  readonly #bounce: Bounce;
  // By tag: what was asked for.
  readonly #kind: Uint8Array;
  readonly #iovecs: Float64Array;
  readonly #count: Uint32Array;
  readonly #offset: Float64Array;
  #inFlight = 0;
  // Tags and results that were taken from the inner backend.
  readonly #waiting: number[] = [];

  /**
   * Around `inner`, which it closes.
   *
   * @param image what `inner` is on, opened with `O_DIRECT`
   * @param requests the most requests in flight; tags are below
   */
  constructor(inner: BlockBackend, image: RawImage, requests: number) {
    this.#inner = inner;
    this.#bounce = new Bounce(image);
    this.readOnly = inner.readOnly;
    this.physicalBlockSize = inner.physicalBlockSize;
    this.completionFd = inner.completionFd;
    this.#kind = new Uint8Array(requests);
    this.#iovecs = new Float64Array(requests);
    this.#count = new Uint32Array(requests);
    this.#offset = new Float64Array(requests);
  }

  get size(): number {
    return this.#inner.size;
  }

  readv(tag: number, iovecs: number, count: number, offset: number): void {
    this.#note(tag, Kind.READ, iovecs, count, offset);
    this.#inner.readv(tag, iovecs, count, offset);
  }

  writev(
    tag: number,
    iovecs: number,
    count: number,
    offset: number,
    durable: boolean,
  ): void {
    const kind = durable ? Kind.DURABLE_WRITE : Kind.WRITE;
    this.#note(tag, kind, iovecs, count, offset);
    this.#inner.writev(tag, iovecs, count, offset, durable);
  }

  zero(tag: number, offset: number, length: number, unmap: boolean): void {
    this.#note(tag, Kind.OTHER, 0, 0, offset);
    this.#inner.zero(tag, offset, length, unmap);
  }

  flush(tag: number): void {
    this.#note(tag, Kind.OTHER, 0, 0, 0);
    this.#inner.flush(tag);
  }

  resize(): void {
    this.#inner.resize();
  }

  submit(): void {
    this.#inner.submit();
  }

  next(): number {
    let tag: number;
    if (this.#waiting.length > 0) {
      tag = this.#waiting.shift()!;
      this.result = this.#waiting.shift()!;
    } else {
      tag = this.#inner.next();
      if (tag < 0) return -1;
      this.#inFlight--;
      this.result = this.#inner.result;
    }
    const kind = this.#kind[tag]!;
    if (this.result === -Errno.EINVAL && kind !== Kind.OTHER) {
      this.result = this.#again(tag, kind);
    }
    return tag;
  }

  wait(): void {
    if (this.#waiting.length === 0) this.#inner.wait();
  }

  enable(): boolean {
    return this.#inner.enable() || this.#waiting.length > 0;
  }

  acknowledge(): void {
    this.#inner.acknowledge();
  }

  close(): void {
    this.#bounce.close();
    this.#inner.close();
  }

  #note(
    tag: number,
    kind: number,
    iovecs: number,
    count: number,
    offset: number,
  ): void {
    this.#inFlight++;
    this.#kind[tag] = kind;
    this.#iovecs[tag] = iovecs;
    this.#count[tag] = count;
    this.#offset[tag] = offset;
  }

  #again(tag: number, kind: number): number {
    const iovecs = this.#iovecs[tag]!;
    const count = this.#count[tag]!;
    const offset = this.#offset[tag]!;
    if (kind === Kind.READ) return this.#bounce.read(iovecs, count, offset);
    // A block is read, changed and written: nothing else may happen to it.
    this.#takeAll();
    const durable = kind === Kind.DURABLE_WRITE;
    return this.#bounce.write(iovecs, count, offset, durable);
  }

  /** Waits until nothing is in flight. */
  #takeAll(): void {
    const inner = this.#inner;
    while (this.#inFlight > 0) {
      inner.submit();
      const tag = inner.next();
      if (tag < 0) inner.wait();
      else {
        this.#inFlight--;
        this.#waiting.push(tag, inner.result);
      }
    }
  }
}

/**
 * Memory that is aligned. It is a file's, too, so that the kernel copies
 * between it and the guest's iovecs as in any read or write.
 */
class Bounce {
  readonly #fd: number;
  readonly #block: number;
  readonly #file: number;
  readonly #memory: Mapping;
  readonly #vector: Mapping;
  readonly #iovec: Iovecs;
  readonly #parts: DisposableStack;

  constructor({ fd, blockSize }: RawImage) {
    using undo = new DisposableStack(); // unless all goes well
    this.#fd = fd;
    this.#block = blockSize;
    this.#file = undo.adopt(createMemoryFile("bounce", SIZE), closeFd);
    this.#memory = undo.use(new Mapping(SIZE, { fd: this.#file }));
    this.#vector = undo.use(new Mapping(IOVEC_SIZE, { name: "bounce" }));
    this.#iovec = new Iovecs(this.#vector, 0, 1);
    this.#parts = undo.move();
  }

  /** Bytes read, perhaps fewer than there is room for, or -errno. */
  read(iovecs: number, count: number, offset: number): number {
    const { before, length, span } = this.#range(iovecs, count, offset);
    const got = this.#move(libc.preadv, span, offset - before);
    if (got <= before) return Math.min(got, 0);
    const copied = this.#copy(libc.preadv, iovecs, count, before);
    return Math.min(copied, length, got - before);
  }

  /** Bytes written, perhaps not all, or -errno. */
  write(
    iovecs: number,
    count: number,
    offset: number,
    durable: boolean,
  ): number {
    const { before, length, span } = this.#range(iovecs, count, offset);
    let done: number;
    if (offset - before + span > endOfFile(this.#fd)) {
      done = this.#writeTail(iovecs, count, offset);
    } else {
      if (before > 0 || length < span) {
        const got = this.#move(libc.preadv, span, offset - before);
        if (got < 0) return got;
      }
      const copied = this.#copy(libc.pwritev, iovecs, count, before);
      if (copied < 0) return copied;
      const put = this.#move(libc.pwritev, span, offset - before);
      done = put < 0 ? put : Math.max(0, Math.min(put - before, length));
    }
    if (done > 0 && durable && libc.fdatasync(this.#fd) < 0) return -errno();
    return done;
  }

  close(): void {
    this.#parts.dispose();
  }

  /**
   * The file ends within the block, and is not to become longer: the page cache
   * has to do it.
   */
  #writeTail(iovecs: number, count: number, offset: number): number {
    setDirect(this.#fd, false);
    const at = BigInt(offset);
    const done = libc.pwritev(this.#fd, BigInt(iovecs), count, at);
    const code = errno();
    setDirect(this.#fd, true);
    return done < 0 ? -code : done;
  }

  /** How much of a request fits, and the whole blocks that it is in. */
  #range(iovecs: number, count: number, offset: number) {
    const words = new BigUint64Array(viewOf(iovecs, count * IOVEC_SIZE));
    let length = 0;
    for (let i = 0; i < count; i++) length += Number(words[2 * i + 1]!);
    const before = offset % this.#block;
    length = Math.min(length, SIZE - before);
    const blocks = Math.ceil((before + length) / this.#block);
    return { before, length, span: blocks * this.#block };
  }

  /** Between the image and the first `span` bytes. */
  #move(call: Transfer, span: number, offset: number): number {
    this.#iovec.set(0, this.#memory.address, span);
    const address = BigInt(this.#iovec.addressOf(0));
    const done = call(this.#fd, address, 1, BigInt(offset));
    return done < 0 ? -errno() : done;
  }

  /** Between the guest's memory and bytes `at` and following. */
  #copy(call: Transfer, iovecs: number, count: number, at: number): number {
    const done = call(this.#file, BigInt(iovecs), count, BigInt(at));
    return done < 0 ? -errno() : done;
  }
}

type Transfer = typeof libc.preadv;
