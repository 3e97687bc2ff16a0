/**
 * How long to look for work before sleeping. A wake-up costs some fifty
 * microseconds, so looking that long first pays whenever the next request
 * comes sooner; when it doesn't, it only burns a core.
 *
 * @module
 */

/** Shortest window worth having, in microseconds. */
const MIN = 10;

/** An adaptive polling window: it grows on hits and shrinks on misses. */
export class PollWindow {
  /** The window now, in milliseconds; 0 while polling doesn't pay. */
  milliseconds = 0;
  readonly #max: number;

  /** A window of at most `max` microseconds; 0 never polls. */
  constructor(max: number) {
    this.#max = max / 1000;
  }

  /** True when this window can be more than 0. */
  get enabled(): boolean {
    return this.#max > 0;
  }

  /**
   * The thread slept for `slept` milliseconds. Short of the largest window,
   * a longer window would have caught the work: it doubles. Far beyond, no
   * window would have: it halves.
   */
  woke(slept: number): void {
    const window = this.milliseconds;
    if (slept <= this.#max) {
      this.milliseconds = Math.min(
        this.#max,
        Math.max(MIN / 1000, window * 2),
      );
    } else {
      this.milliseconds = window > MIN / 1000 ? window / 2 : 0;
    }
  }
}
