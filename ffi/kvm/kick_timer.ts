/**
 * A timer that kicks the thread which made it out of `KVM_RUN`
 * (timer_create(2) with `SIGEV_THREAD_ID`): a time limit for a guest that is
 * run without a thread of its own.
 *
 * @module
 */
import { check } from "../errno.ts";
import {
  blockKickSignal,
  currentThread,
  drainKicks,
  KICK_SIGNAL,
} from "./kick.ts";
import { libc } from "../libc.ts";

const SYS_timer_create = 222;
const SYS_timer_settime = 223;
const SYS_timer_delete = 226;
const CLOCK_MONOTONIC = 1;
const SIGEV_THREAD_ID = 4;

/** One timer. The vCPU must have {@linkcode Vcpu.setSignalMask}. */
export class KickTimer implements Disposable {
  readonly #id: number;

  /** Blocks the kick signal in this thread, for its lifetime. */
  constructor() {
    blockKickSignal();
    // struct sigevent: the value, then number, kind, thread; 64 bytes.
    const event = new Int32Array(16);
    event[2] = KICK_SIGNAL;
    event[3] = SIGEV_THREAD_ID;
    event[4] = currentThread();
    const id = new Int32Array(1);
    check(
      libc.timer_create(
        SYS_timer_create,
        CLOCK_MONOTONIC,
        new Uint8Array(event.buffer),
        new Uint8Array(id.buffer),
      ),
      "timer_create",
    );
    this.#id = id[0]!;
  }

  /**
   * Kicks after `milliseconds`: `KVM_RUN` then returns EINTR, at once if the
   * thread isn't in it at the time. 0 takes the kick back.
   */
  set(milliseconds: number): void {
    // struct itimerspec: interval, then value, each of seconds, nanoseconds.
    const spec = new BigInt64Array(4);
    spec[2] = BigInt(Math.floor(milliseconds / 1000));
    spec[3] = BigInt(Math.round(milliseconds % 1000 * 1e6));
    const bytes = new Uint8Array(spec.buffer);
    check(
      libc.timer_settime(SYS_timer_settime, this.#id, 0, bytes, null),
      "timer_settime",
    );
    if (milliseconds === 0) drainKicks();
  }

  /** Takes the kick back, and the timer away. */
  [Symbol.dispose](): void {
    this.set(0);
    libc.timer_delete(SYS_timer_delete, this.#id);
  }
}
