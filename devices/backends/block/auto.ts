/**
 * The engine of a disk whose image goes through the host's page cache: reads,
 * flushes and slow writes by io_uring, other writes in the device's thread.
 *
 * @module
 */
import { type RawImage, UringBackend } from "./raw.ts";
import { SyncBackend } from "./sync.ts";

/** A write that takes longer, in ms, had to wait for the disk. */
const SLOW = 2;
/** As many times what a slow write took, the ring gets all writes. */
const REST = 20;

/**
 * A write to the page cache is a copy, which takes a few microseconds. Many
 * file systems (ext4 among them) can't promise io_uring that it will not wait,
 * so the kernel hands each one to a thread of its own, for several times that.
 * Here it is a plain call, until one of them waits: for a page that has to be
 * read first, or because the host has too many dirty ones. Then the ring gets
 * all writes for a while, so that other requests and devices wait for at most
 * a twentieth of the time.
 */
export class AutoBackend extends UringBackend {
  readonly #inline: SyncBackend;
  readonly #now: () => number;
  // In ms: when the last write ended, and until when the ring gets them.
  // An array, since a field would allocate for each value.
  readonly #time = new Float64Array(2);
  #batch = false; // a write of this batch has said what time it is
  #inlineResult = true;

  /**
   * Storage on `image`.
   *
   * @param requests the most requests in flight, a power of two
   * @param now a clock in milliseconds
   */
  constructor(
    image: RawImage,
    requests: number,
    now: () => number = () => performance.now(),
  ) {
    super(image, requests);
    this.#now = now;
    this.#inline = new SyncBackend(image, requests);
  }

  override get result(): number {
    return this.#inlineResult ? this.#inline.result : super.result;
  }

  override writev(
    tag: number,
    iovecs: number,
    count: number,
    offset: number,
    durable: boolean,
  ): void {
    const time = this.#time;
    if (!this.#batch) time[END] = this.#now();
    this.#batch = true;
    const begun = time[END]!;
    if (durable || begun < time[RESTS]!) {
      return super.writev(tag, iovecs, count, offset, durable);
    }
    this.#inline.writev(tag, iovecs, count, offset, false);
    const end = this.#now();
    if (end - begun > SLOW) time[RESTS] = end + REST * (end - begun);
    time[END] = end;
  }

  override submit(): void {
    this.#batch = false;
    super.submit();
  }

  override next(): number {
    const tag = this.#inline.next();
    this.#inlineResult = tag >= 0;
    return tag >= 0 ? tag : super.next();
  }

  override enable(): boolean {
    return super.enable() || this.#inline.enable();
  }
}

const END = 0, RESTS = 1;
