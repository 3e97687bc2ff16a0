/**
 * How long to look for work before sleeping. A wake-up costs some fifty
 * microseconds, so looking that long first pays whenever the next request
 * comes sooner; when it doesn't, it only burns a core.
 *
 * @module
 */
import type { EventLoop } from "./event_loop.ts";

/** Looks at memory between two looks at descriptors: those are system calls. */
const POLLS_PER_TURN = 64;
/** The same while descriptors have events: frames from a TAP have no other. */
const POLLS_BETWEEN_EVENTS = 16;
/** Turns without an event after which none is expected soon. */
const TURNS_EXPECTANT = 16;

/** Windows in vain before polling rests. */
const VAIN_MAX = 3;
/** Sleeps without polling after polling was in vain. */
const REST_MIN = 32, REST_MAX = 4096;

/** Whose work is looked for. */
export interface Polled {
  readonly interrupted: boolean; // something else is to be done first
  poll(): boolean; // looks at memory; true when there was work
  enable(): boolean; // before a sleep; true when there is work
}

/**
 * An adaptive polling window: open while requests come close together, closed
 * while the guest is idle.
 *
 * When windows pass without work, three since the last that paid, polling
 * rests, each time for longer. Either work comes as soon as the thread sleeps:
 * then the guest waits for the very core that polls. Or it comes much later:
 * a request opens the window, and the disk takes longer than that to answer.
 */
export class PollWindow {
  /** The window now, in milliseconds; 0 while polling doesn't pay. */
  milliseconds = 0;
  readonly #max: number;
  #vain = 0; // windows without work since the last hit
  #rest = 0; // sleeps left without polling
  #nextRest = REST_MIN;

  /** A window of at most `max` microseconds; 0 never polls. */
  constructor(max: number) {
    this.#max = max / 1000;
  }

  /** True when this window can be more than 0. */
  get enabled(): boolean {
    return this.#max > 0;
  }

  /**
   * The thread polled, `hit` saying whether work came within the window, and
   * then slept for `slept` milliseconds.
   */
  woke(hit: boolean, slept: number): void {
    if (hit) {
      this.#vain = 0;
      this.#nextRest = Math.max(REST_MIN, this.#nextRest / 2);
    }
    if (this.#rest > 0) {
      this.#rest--;
    } else if (this.milliseconds > 0 && !hit && ++this.#vain === VAIN_MAX) {
      this.#vain = 0;
      this.milliseconds = 0;
      this.#rest = this.#nextRest;
      this.#nextRest = Math.min(2 * this.#nextRest, REST_MAX);
    } else {
      this.milliseconds = slept > this.#max ? 0 : this.#max;
    }
  }

  /** Looks for work until none has come for a window's time, then sleeps. */
  wait(polled: Polled, loop: EventLoop): void {
    // Even without a window: what enable() found last time is to be done.
    let hit = false;
    if (this.milliseconds > 0) hit = this.#pollFor(polled, loop);
    else polled.poll();
    if (polled.enable()) return void loop.turn(0); // others' turn, too
    if (polled.interrupted) return;
    const asleep = performance.now();
    loop.turn(-1);
    this.woke(hit, performance.now() - asleep);
  }

  /** True when work came within a window's time of the start. */
  #pollFor(polled: Polled, loop: EventLoop): boolean {
    let deadline = performance.now() + this.milliseconds;
    let hit = false;
    let expectant = 0; // turns in which a descriptor's event may come
    while (!polled.interrupted) {
      let worked = loop.turn(0) > 0;
      expectant = worked ? TURNS_EXPECTANT : Math.max(0, expectant - 1);
      const polls = expectant > 0 ? POLLS_BETWEEN_EVENTS : POLLS_PER_TURN;
      for (let i = 0; i < polls; i++) {
        if (polled.poll()) worked = true;
      }
      const now = performance.now();
      if (worked) {
        // Late work means that this thread lost its core: no merit of polling.
        if (now <= deadline) hit = true;
        deadline = now + this.milliseconds;
      } else if (now > deadline) break;
    }
    return hit;
  }
}
