/**
 * How long to look for work before sleeping. A wake-up costs some fifty
 * microseconds, so looking that long first pays whenever the next request
 * comes sooner; when it doesn't, it only burns a core.
 *
 * @module
 */

/** Shortest window worth having, in microseconds. */
const MIN = 10;

/** Sleeps without polling after polling stood in the guest's way. */
const REST_MIN = 32, REST_MAX = 4096;

/**
 * An adaptive polling window. It grows while a longer one would have spared
 * the sleep, and closes when none would have.
 *
 * When a window passes without work, and work comes as soon as the thread
 * sleeps, then the guest waited for the very core that polled. Polling then
 * rests, each time for longer.
 */
export class PollWindow {
  /** The window now, in milliseconds; 0 while polling doesn't pay. */
  milliseconds = 0;
  readonly #max: number;
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
    const polled = hit ? 0 : this.milliseconds;
    if (hit) this.#nextRest = Math.max(REST_MIN, this.#nextRest / 2);
    if (this.#rest > 0) {
      this.#rest--;
    } else if (polled + slept <= this.#max) {
      const grown = Math.max(MIN / 1000, 2 * this.milliseconds);
      this.milliseconds = Math.min(this.#max, grown);
    } else {
      this.milliseconds = 0;
      if (polled === 0) return;
      this.#rest = this.#nextRest;
      this.#nextRest = Math.min(2 * this.#nextRest, REST_MAX);
    }
  }
}
