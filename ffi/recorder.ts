/**
 * What a thread counts, and the events that it records while somebody wants
 * them: shared memory that it alone writes, and that any thread reads.
 *
 * @module
 */
import { libc } from "./libc.ts";

const CLOCK_MONOTONIC = 1;
const TWO_32 = 0x1_0000_0000;

/** Doubles of an event: start, duration, kind, subject, and four values. */
export const EVENT_DOUBLES = 8;
/** Counters of a subject, which is a vCPU or a device: a page. */
export const SUBJECT_COUNTERS = 512;
/** Events that a thread keeps; older ones are lost to a reader that is late. */
export const EVENTS_KEPT = 16384;

// The header, in 32-bit words: a cache line.
const HEAD = 0;
const WANTED = 1;
const COUNTERS = 2;
const HEADER_BYTES = 64;

/** One thread's page, as that thread sees it, and as its readers do. */
export class Recorder {
  /** The counters; only the thread itself writes them. */
  readonly counts: Float64Array<SharedArrayBuffer>;
  readonly #header: Int32Array<SharedArrayBuffer>;
  readonly #events: Float64Array<SharedArrayBuffer>;
  // struct timespec, low words first; shared memory stays where it is.
  readonly #time = new Uint32Array(new SharedArrayBuffer(16));
  readonly #timeAt = Deno.UnsafePointer.of(this.#time);

  /** Room for the counters of so many subjects, and for events. */
  static create(subjects: number): SharedArrayBuffer {
    const counters = subjects * SUBJECT_COUNTERS;
    const doubles = counters + EVENTS_KEPT * EVENT_DOUBLES;
    const page = new SharedArrayBuffer(HEADER_BYTES + 8 * doubles);
    new Int32Array(page)[COUNTERS] = counters;
    return page;
  }

  /** Views a page that {@linkcode Recorder.create} has made. */
  constructor(page: SharedArrayBuffer) {
    this.#header = new Int32Array(page, 0, HEADER_BYTES / 4);
    const counters = this.#header[COUNTERS]!;
    this.counts = new Float64Array(page, HEADER_BYTES, counters);
    this.#events = new Float64Array(page, HEADER_BYTES + 8 * counters);
  }

  /** The kinds of events that are wanted, as bits; off: 0. */
  get wanted(): number {
    return this.#header[WANTED]!;
  }

  /** Readers say what they want. */
  set wanted(kinds: number) {
    Atomics.store(this.#header, WANTED, kinds);
  }

  /**
   * How many events there have been, modulo 2^32. Event n is in place n modulo
   * {@linkcode EVENTS_KEPT}; the one that comes next may be half written.
   */
  get head(): number {
    return Atomics.load(this.#header, HEAD) >>> 0;
  }

  /** All places of events, for readers. */
  get events(): Float64Array<SharedArrayBuffer> {
    return this.#events;
  }

  /** CLOCK_MONOTONIC in nanoseconds. */
  now(): number {
    const time = this.#time;
    libc.clock_gettime_at(CLOCK_MONOTONIC, this.#timeAt);
    return (time[0]! + time[1]! * TWO_32) * 1e9 + time[2]!;
  }

  /**
   * Records an event in the place of the oldest. Never waits.
   *
   * @param start when it began, by {@linkcode now}
   * @param duration how long it took, in nanoseconds
   * @param kind its kind's number
   * @param subject the vCPU or the device
   */
  record(
    start: number,
    duration: number,
    kind: number,
    subject: number,
    a: number,
    b: number,
    c: number,
    d: number,
  ): void {
    const head = this.#header[HEAD]!;
    const at = (head & (EVENTS_KEPT - 1)) * EVENT_DOUBLES;
    const events = this.#events;
    events[at] = start;
    events[at + 1] = duration;
    events[at + 2] = kind;
    events[at + 3] = subject;
    events[at + 4] = a;
    events[at + 5] = b;
    events[at + 6] = c;
    events[at + 7] = d;
    // Behind the values: whoever sees the number sees them. A plain store is
    // enough, as x86-64 keeps stores in their order and V8 the program's; one
    // of Atomics would wait here until the values are in the cache.
    this.#header[HEAD] = head + 1;
  }
}
