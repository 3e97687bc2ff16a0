/**
 * One direction of a link: frames on their way.
 *
 * @module
 */
import { type LinkShape, randomNumbers } from "./shape.ts";

/** How long a frame may wait for its turn on a link with a rate, in ms. */
const RATE_WAIT_MS = 200;
/** Bytes of frames that are on their way at most; more are lost. */
const LINE_BYTES = 2 * 1024 * 1024;
/** What a frame costs beside its bytes. */
const FRAME_COST = 256;

/** Frames go in, and come out later, in their order, or never. */
export class Line {
  /** Frames that were lost by chance. */
  lost = 0;
  /** Frames for which there was no room, or no time. */
  dropped = 0;
  readonly #shape: () => LinkShape;
  readonly #deliver: (frame: Uint8Array) => void;
  readonly #random: () => number;
  readonly #frames: Uint8Array[] = [];
  readonly #due: number[] = []; // when each comes out
  #bytes = 0;
  #freeAt = 0; // when the last frame is all on the line
  #lastDue = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * A line without frames.
   *
   * @param shape asked for each frame
   * @param seed of its chances
   * @param deliver gets each frame that comes out; it is not its own
   */
  constructor(
    shape: () => LinkShape,
    seed: number,
    deliver: (frame: Uint8Array) => void,
  ) {
    this.#shape = shape;
    this.#random = randomNumbers(seed);
    this.#deliver = deliver;
  }

  /** Puts a frame in; it is copied if it has to wait. */
  push(frame: Uint8Array): void {
    const { latency = 0, jitter = 0, loss = 0, rate } = this.#shape();
    if (loss > 0 && this.#random() < loss) {
      this.lost++;
      return;
    }
    let delay = latency;
    if (jitter > 0) delay += jitter * this.#random();
    if (delay === 0 && rate === undefined && this.#frames.length === 0) {
      return this.#deliver(frame);
    }
    const now = performance.now();
    const turn = Math.max(now, this.#freeAt);
    const cost = frame.length + FRAME_COST;
    if (turn - now > RATE_WAIT_MS || this.#bytes + cost > LINE_BYTES) {
      this.dropped++;
      return;
    }
    this.#freeAt = turn + (rate ? frame.length * 8000 / rate : 0);
    this.#lastDue = Math.max(this.#lastDue, this.#freeAt + delay);
    this.#frames.push(frame.slice());
    this.#due.push(this.#lastDue);
    this.#bytes += cost;
    this.#wait();
  }

  /** Forgets what is on its way. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#frames.length = this.#due.length = this.#bytes = 0;
  }

  #wait(): void {
    if (this.#timer !== undefined || this.#due.length === 0) return;
    const time = Math.max(0, this.#due[0]! - performance.now());
    this.#timer = setTimeout(() => this.#arrive(), time);
  }

  #arrive(): void {
    this.#timer = undefined;
    const now = performance.now();
    let count = 0;
    while (count < this.#due.length && this.#due[count]! <= now) count++;
    this.#due.splice(0, count);
    for (const frame of this.#frames.splice(0, count)) {
      this.#bytes -= frame.length + FRAME_COST;
      this.#deliver(frame);
    }
    this.#wait();
  }
}
