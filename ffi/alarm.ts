/**
 * A timer that costs a start nothing.
 *
 * @module
 */

/**
 * Calls a function once. The first `setTimeout` of a program loads Node's
 * timers, which takes 7 ms; this takes half a millisecond.
 */
export class Alarm implements Disposable {
  readonly #signal: AbortSignal;
  readonly #ring: () => void;

  /** Calls `ring` in `milliseconds`; until then the program doesn't end. */
  constructor(milliseconds: number, ring: () => void) {
    this.#signal = AbortSignal.timeout(milliseconds);
    this.#ring = ring;
    this.#signal.addEventListener("abort", ring);
  }

  /** Doesn't call it when `event` has come, or failed, before. */
  unless(event: Promise<unknown>): void {
    const stop = () => this[Symbol.dispose]();
    event.then(stop, stop);
  }

  /** Doesn't call it any more. */
  [Symbol.dispose](): void {
    this.#signal.removeEventListener("abort", this.#ring);
  }
}

/** Whether `event` does, within so many milliseconds. */
export async function comesInTime(
  event: Promise<unknown>,
  milliseconds: number,
): Promise<boolean> {
  const late = Promise.withResolvers<boolean>();
  using _limit = new Alarm(milliseconds, () => late.resolve(false));
  return await Promise.race([event.then(() => true), late.promise]);
}

/**
 * Whether `event` does, within so many looks, so many milliseconds apart. Looks
 * count, not time: a process that was stopped has lost one of them.
 */
export async function comesInLooks(
  event: Promise<unknown>,
  looks: number,
  milliseconds: number,
): Promise<boolean> {
  for (let look = 0; look < looks; look++) {
    if (await comesInTime(event, milliseconds)) return true;
  }
  return false;
}
