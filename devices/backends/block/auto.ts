/**
 * The engine of a disk whose image goes through the host's page cache: reads,
 * flushes and slow writes by io_uring, other writes in the device's thread.
 *
 * @module
 */
import { libc } from "../../../ffi/libc.ts";
import type { RawImage } from "./image.ts";
import { UringBackend } from "./uring.ts";
import { SyncBackend } from "./sync.ts";

/** A write that takes longer, in ms, may have waited for the disk. */
const SLOW = 2;
/** How long afterwards, in ms, it is looked at why a write takes long. */
const WATCH = 1000;
/** As many times what a write waited, the ring gets all writes. */
const REST = 20;

/**
 * A write to the page cache is a copy, which takes a few microseconds. Many
 * file systems (ext4 among them) can't promise io_uring that it will not wait,
 * so the kernel hands each one to a thread of its own, for several times that.
 * Here it is a plain call, until one of them waits: for a page that has to be
 * read first, or because the host has too many dirty ones. Then the ring gets
 * all writes for a while, so that other requests and devices wait for at most
 * a twentieth of the time. A thread that lost its core to another one has not
 * waited; on a crowded host that is frequent, and the ring's threads would have
 * to wait for a core, too.
 */
export class AutoBackend extends UringBackend {
  readonly #inline: SyncBackend;
  readonly #clock: WriteClock;
  // In ms: when the last write ended, until when the ring gets them, and
  // until when they are watched. A field would allocate for each value.
  readonly #time = new Float64Array(3);
  #batch = false; // a write of this batch has said what time it is
  #inlineResult = true;

  /**
   * Storage on `image`.
   *
   * @param requests the most requests in flight, a power of two
   * @param clock what tells how long a write took, and whether it waited
   */
  constructor(
    image: RawImage,
    requests: number,
    clock: WriteClock = new ThreadClock(),
  ) {
    super(image, requests);
    this.#clock = clock;
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
    if (!this.#batch) time[END] = this.#clock.now();
    this.#batch = true;
    const begun = time[END]!;
    if (durable || begun < time[RESTS]!) {
      return super.writev(tag, iovecs, count, offset, durable);
    }
    const clock = this.#clock;
    const watched = begun < time[WATCHED]!;
    const waits = watched ? clock.waits() : 0;
    this.#inline.writev(tag, iovecs, count, offset, false);
    const end = clock.now();
    time[END] = end;
    if (end - begun <= SLOW) return;
    time[WATCHED] = end + WATCH;
    if (watched && clock.waits() !== waits) {
      time[RESTS] = end + REST * (end - begun);
    }
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

const END = 0, RESTS = 1, WATCHED = 2;

/** How long a thread takes for something, and whether it waited for it. */
export interface WriteClock {
  /** Milliseconds since some time. */
  now(): number;
  /** How often the thread has gone to sleep by itself. */
  waits(): number;
}

/** The calling thread's. */
class ThreadClock implements WriteClock {
  // struct rusage (getrusage(2)), 144 bytes.
  readonly #usage = new Uint32Array(36);

  now(): number {
    return performance.now();
  }

  waits(): number {
    libc.getrusage(RUSAGE_THREAD, this.#usage);
    return this.#usage[RU_NVCSW]!;
  }
}

const RUSAGE_THREAD = 1;
/** Offset of ru_nvcsw, in 32-bit words. */
const RU_NVCSW = 32;
