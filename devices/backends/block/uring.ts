/**
 * An image by io_uring.
 *
 * @module
 */
import { createEventFd, drainEventFd } from "../../../ffi/eventfd.ts";
import { closeFd } from "../../../ffi/file.ts";
import { IoUring, RWF_DSYNC } from "../../../ffi/io_uring.ts";
import type { BlockBackend } from "./backend.ts";
import { ImageBackend, PUNCH, type RawImage, ZERO } from "./image.ts";

/** Asynchronous I/O through io_uring. */
export class UringBackend extends ImageBackend implements BlockBackend {
  readonly completionFd: number;
  readonly #ring: IoUring;

  /** Storage on `image`; `requests` is the most requests in flight, a power of two */
  constructor(image: RawImage, requests: number) {
    super(image);
    using undo = new DisposableStack(); // unless all goes well
    this.#ring = undo.use(
      new IoUring(image.fd, requests, !image.replaceable),
    );
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
