/**
 * Steps that happen one after the other, in the order in which they were asked
 * for.
 *
 * @module
 */

/** A queue of steps. */
export class Turns {
  #last: Promise<void> | undefined;

  /** Does `step` when all before it are done, or have failed: now, if none is. */
  take<T>(step: () => Promise<T>): Promise<T> {
    const turn = this.#last === undefined ? step() : this.#last.then(step);
    const done = () => {
      if (this.#last === over) this.#last = undefined;
    };
    const over = turn.then(done, done);
    this.#last = over;
    return turn;
  }
}
