/**
 * Calls that are to be made in a while, on a thread that waits in epoll.
 *
 * @module
 */
import { TimerFd } from "../../ffi/timerfd.ts";
import type { Watcher } from "./event_loop.ts";

/** Where descriptors are waited for. */
export interface TimerLoop {
  /** Calls `watcher` when `fd` is ready. */
  watch(fd: number, watcher: Watcher): void;
  /** Forgets `fd`. */
  unwatch(fd: number): void;
}

interface Call {
  due: number;
  callback: () => unknown;
}

/** Any number of timers on one descriptor, which is there from the first on. */
export class Timers implements Watcher {
  readonly #loop: TimerLoop;
  readonly #calls: Call[] = []; // the next is the last
  #timer: TimerFd | undefined;

  /** Timers that `loop` waits for. */
  constructor(loop: TimerLoop) {
    this.#loop = loop;
  }

  /** Calls `callback` in `milliseconds`; what is returned takes that back. */
  set(milliseconds: number, callback: () => unknown): () => void {
    const call = { due: performance.now() + milliseconds, callback };
    const calls = this.#calls;
    let at = calls.length;
    while (at > 0 && calls[at - 1]!.due <= call.due) at--; // in their order
    calls.splice(at, 0, call);
    if (at === calls.length - 1) this.#arm();
    return () => {
      const index = calls.indexOf(call);
      if (index >= 0) calls.splice(index, 1);
    };
  }

  /** Makes the calls that are due. */
  onReady(): void {
    this.#timer!.drain();
    const calls = this.#calls;
    const now = performance.now();
    // What a call sets anew comes in a later turn, be it due at once.
    const due = calls.filter((call) => call.due <= now).toReversed();
    for (const call of due) {
      const index = calls.indexOf(call);
      if (index < 0) continue; // one before it took it back
      calls.splice(index, 1);
      call.callback();
    }
    this.#arm();
  }

  /** Makes no more calls. */
  close(): void {
    this.#calls.length = 0;
    if (this.#timer === undefined) return;
    this.#loop.unwatch(this.#timer.fd);
    this.#timer.close();
    this.#timer = undefined;
  }

  #arm(): void {
    const next = this.#calls.at(-1);
    if (next === undefined) return;
    if (this.#timer === undefined) {
      this.#timer = new TimerFd();
      this.#loop.watch(this.#timer.fd, this);
    }
    this.#timer.arm(next.due - performance.now());
  }
}
