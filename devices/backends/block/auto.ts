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

/**
 * So many writes are timed together: a look at the clock has its price. When a
 * disk becomes slow, so many may wait for it before that is noticed.
 */
const GROUP = 16;
/** Writes that take longer, in ms, may have waited for the disk. */
const SLOW = 2;
/** How long afterwards, in ms, each is timed, and it is looked at why. */
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
  // In ms: the last look at the clock, until when the ring gets the writes, and
  // until when they are watched; and how often the thread had slept by then. A
  // field would allocate for each value.
  readonly #time = new Float64Array(4);
  #batch = false; // a write of this batch has looked at the clock
  #untimed = 0; // writes since the last look
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
    if (!this.#batch) this.#begin();
    const now = time[LOOKED]!;
    if (durable || now < time[RESTS]!) {
      return super.writev(tag, iovecs, count, offset, durable);
    }
    this.#inline.writev(tag, iovecs, count, offset, false);
    const group = now < time[WATCHED]! ? 1 : GROUP;
    if (++this.#untimed >= group) this.#timed();
  }

  override submit(): void {
    this.#batch = false;
    if (this.#untimed > 0) this.#timed();
    super.submit();
  }

  /** The first write of a batch is about to be carried out. */
  #begin(): void {
    const time = this.#time;
    const now = time[LOOKED] = this.#clock.now();
    if (now < time[WATCHED]!) time[WAITS] = this.#clock.waits();
    this.#batch = true;
  }

  /** Writes have been carried out since the last look at the clock. */
  #timed(): void {
    const time = this.#time;
    const begun = time[LOOKED]!;
    const now = time[LOOKED] = this.#clock.now();
    this.#untimed = 0;
    if (now - begun <= SLOW) return;
    const watched = begun < time[WATCHED]!;
    time[WATCHED] = now + WATCH;
    const before = time[WAITS]!;
    time[WAITS] = this.#clock.waits();
    if (watched && time[WAITS] !== before) {
      time[RESTS] = now + REST * (now - begun);
    }
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

const LOOKED = 0, RESTS = 1, WATCHED = 2, WAITS = 3;

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
