/**
 * The device worker's loop as tests play it.
 *
 * @module
 */
import { EventLoop } from "../../runtime/event_loop.ts";

/** A loop whose thread goes on after each turn. */
export class ThreadLoop extends EventLoop {
  readonly #after: () => void;

  /** A loop that calls `after` behind each turn. */
  constructor(after: () => void) {
    super();
    this.#after = after;
  }

  /** Turns, and goes on. */
  override turn(timeout: number): number {
    const count = super.turn(timeout);
    this.#after();
    return count;
  }
}
