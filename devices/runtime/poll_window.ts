/**
 * How long to look for work before sleeping. A wake-up costs some fifty
 * microseconds, so looking that long first pays whenever the next request
 * comes sooner; when it doesn't, it only burns a core.
 *
 * @module
 */

/** Windows in vain before polling rests. */
const VAIN_MAX = 3;

/** Sleeps without polling after polling was in vain. */
const REST_MIN = 32, REST_MAX = 4096;

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
}
