/**
 * A lock in shared memory for critical sections of some hundred nanoseconds,
 * between vCPU threads and the main isolate.
 *
 * It spins shortly, then sleeps: on a host with more vCPUs than cores the
 * holder may have been preempted, and spinning would take its time slice.
 * The three states are those of "Futexes Are Tricky" (Drepper), mutex 2.
 *
 * @module
 */

const FREE = 0;
const HELD = 1;
const CONTENDED = 2;

const SPINS = 200;

/** The view of one isolate on a lock word; zero is free. Not re-entrant. */
export class SharedLock {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #index: number;

  /** The lock at `words[index]`. */
  constructor(words: Int32Array<SharedArrayBuffer>, index: number) {
    this.#words = words;
    this.#index = index;
  }

  /** Takes the lock; blocks the thread while another holds it. */
  acquire(): void {
    const words = this.#words;
    const index = this.#index;
    if (Atomics.compareExchange(words, index, FREE, HELD) !== FREE) {
      this.#acquireSlowly();
    }
  }

  /** Gives the lock back and wakes a waiting thread. */
  release(): void {
    if (Atomics.exchange(this.#words, this.#index, FREE) === CONTENDED) {
      Atomics.notify(this.#words, this.#index, 1);
    }
  }

  #acquireSlowly(): void {
    const words = this.#words;
    const index = this.#index;
    for (let i = 0; i < SPINS; i++) {
      if (
        Atomics.load(words, index) === FREE &&
        Atomics.compareExchange(words, index, FREE, HELD) === FREE
      ) return;
    }
    while (Atomics.exchange(words, index, CONTENDED) !== FREE) {
      Atomics.wait(words, index, CONTENDED);
    }
  }
}
