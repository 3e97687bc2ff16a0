/**
 * Rate limits as Firecracker defines them: token buckets for bytes and for
 * operations. What doesn't fit waits for a timer in the device worker's loop.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { TimerFd } from "../../ffi/timerfd.ts";
import type { Watcher } from "./event_loop.ts";

/** A bucket that fills up at a steady rate, in Firecracker's words. */
export interface TokenBucket {
  /** Tokens that the bucket holds, and that it starts with. */
  size: number;
  /** Tokens on top at the start, which never come back; default 0. */
  one_time_burst?: number;
  /** Milliseconds in which an empty bucket fills up. */
  refill_time: number;
}

/** What a device may do per time. A limit that is missing does not exist. */
export interface RateLimits {
  /** A token is a byte. */
  bandwidth?: TokenBucket;
  /** A token is an operation: a request, or a frame however large. */
  ops?: TokenBucket;
}

/** Limits for which there may be others later: {@linkcode changeLimits}. */
export interface AdjustableLimits extends RateLimits {
  /** So it is, though there may be none yet. */
  adjustable?: boolean;
}

/** Where a limiter waits: an event loop, or a device's context. */
export interface WatchList {
  /** Calls `watcher` when `fd` is ready. */
  watch(fd: number, watcher: Watcher): void;
  /** Forgets `fd`. */
  unwatch(fd: number): void;
  /** What is told that something has to wait. */
  readonly record?: { step(step: "throttled"): void } | undefined;
}

/**
 * Says for each operation whether it may go ahead now.
 *
 * ```ts ignore
 * while (this.#held || queue.pop(chain)) {
 *   this.#held = !limiter.take(chain.readable.bytes);
 *   if (this.#held) return; // `resume` is called in time
 *   ...
 * }
 * ```
 *
 * An operation waits until the bucket holds its tokens, or is full: one that
 * is larger than the bucket leaves a debt, which the next one waits for.
 * Nothing is allocated after the start.
 */
export class RateLimiter implements Watcher {
  /** An operation was refused; {@linkcode RateLimiter.attach}'s call is due. */
  blocked = false;
  #bandwidth: Bucket | undefined;
  #ops: Bucket | undefined;
  readonly #timer = new TimerFd();
  readonly #clock: () => number;
  #list: WatchList | undefined;
  #resume: () => void = () => {};

  /**
   * A limiter for `limits`, or undefined when they limit nothing: a bucket of
   * size 0, or one that needs no time to fill up, is none (as in Firecracker).
   */
  static from(limits: AdjustableLimits | undefined): RateLimiter | undefined {
    const { bandwidth, ops, adjustable } = limits ?? {};
    if (limits === undefined || !bandwidth && !ops && !adjustable) return;
    const limiter = new RateLimiter(limits);
    if (limiter.#bandwidth || limiter.#ops || adjustable) return limiter;
    limiter.close();
    return undefined;
  }

  /** Full buckets. `clock` gives milliseconds. */
  constructor(limits: RateLimits, clock = () => performance.now()) {
    this.#clock = clock;
    this.#bandwidth = bucket(limits.bandwidth, clock());
    this.#ops = bucket(limits.ops, clock());
  }

  /** Waits in `list`; calls `resume` when what was refused may be tried again. */
  attach(list: WatchList, resume: () => void): void {
    this.#list = list;
    this.#resume = resume;
    list.watch(this.#timer.fd, this);
  }

  /**
   * One operation of `bytes` bytes wants to go ahead. False: not now, and
   * nothing was taken.
   */
  take(bytes: number): boolean {
    if (this.blocked) return false;
    const wait = this.#wait(bytes);
    if (wait > 0) {
      this.#block(wait);
      return false;
    }
    this.#ops?.take(1);
    this.#bandwidth?.take(bytes);
    return true;
  }

  /**
   * For an operation whose size is known only afterwards: true when there is
   * no debt. Then {@linkcode RateLimiter.charge} it.
   */
  mayStart(): boolean {
    if (this.blocked) return false;
    const wait = this.#wait(1);
    if (wait > 0) this.#block(wait);
    return wait === 0;
  }

  /** What is in `queue`, if anything, may not go ahead now. */
  holdsBack(queue: { readonly hasAvailable: boolean }): boolean {
    return this.blocked || queue.hasAvailable && !this.mayStart();
  }

  /** Takes the tokens of an operation that has gone ahead. */
  charge(bytes: number): void {
    this.#ops?.take(1);
    this.#bandwidth?.take(bytes);
  }

  /** From now on; what `limits` says nothing of stays, with its tokens. */
  change({ bandwidth, ops }: RateLimits): void {
    const now = this.#clock();
    if (bandwidth) this.#bandwidth = bucket(bandwidth, now);
    if (ops) this.#ops = bucket(ops, now);
    if (this.blocked) this.#timer.arm(1); // it may go ahead now
  }

  /** The timer has expired. */
  onReady(): void {
    this.#timer.drain();
    this.blocked = false;
    this.#resume();
  }

  /** Closes the timer. */
  close(): void {
    this.#list?.unwatch(this.#timer.fd);
    this.#timer.close();
  }

  /** Milliseconds until an operation of `bytes` bytes may go ahead. */
  #wait(bytes: number): number {
    const now = this.#clock();
    const ops = this.#ops?.wait(1, now) ?? 0;
    const bandwidth = this.#bandwidth?.wait(bytes, now) ?? 0;
    return ops > bandwidth ? ops : bandwidth;
  }

  #block(wait: number): void {
    this.blocked = true;
    this.#timer.arm(wait);
    this.#list?.record?.step("throttled");
  }
}

/** A command to a device: other limits, by the names of its limiters. */
export interface LimitsCommand {
  type: "limits";
  [limiter: string]: RateLimits | "limits";
}

/**
 * Carries a {@linkcode LimitsCommand} out; false: it is another command.
 *
 * @throws {VireoError} a limiter was not made to be changed
 */
export function changeLimits(
  command: unknown,
  limiters: Readonly<Record<string, RateLimiter | undefined>>,
): boolean {
  if ((command as LimitsCommand | null)?.type !== "limits") return false;
  for (const [name, limits] of Object.entries(command as LimitsCommand)) {
    if (name === "type") continue;
    const limiter = limiters[name];
    if (limiter === undefined) {
      throw new VireoError(`${name}: is not there, or not to be changed`);
    }
    limiter.change(limits as RateLimits);
  }
  return true;
}

function bucket(
  config: TokenBucket | undefined,
  now: number,
): Bucket | undefined {
  if (!config?.size || !config.refill_time) return undefined;
  return new Bucket(config, now);
}

// In a Float64Array, because storing a fraction in a field may allocate.
const TOKENS = 0; // below 0: a debt
const BURST = 1;
const UPDATED = 2;

/** Tokens that come back at a steady rate. */
class Bucket {
  readonly #size: number;
  readonly #perMillisecond: number;
  readonly #state = new Float64Array(3);

  constructor(
    { size, one_time_burst = 0, refill_time }: TokenBucket,
    now: number,
  ) {
    this.#size = size;
    this.#perMillisecond = size / refill_time;
    this.#state[TOKENS] = size;
    this.#state[BURST] = one_time_burst;
    this.#state[UPDATED] = now;
  }

  /** Milliseconds until `tokens` are there, or as many as ever will be. */
  wait(tokens: number, now: number): number {
    const state = this.#state;
    const come = (now - state[UPDATED]!) * this.#perMillisecond;
    state[TOKENS] = Math.min(this.#size, state[TOKENS]! + come);
    state[UPDATED] = now;
    const wanted = Math.min(tokens - state[BURST]!, this.#size);
    const missing = wanted - state[TOKENS]!;
    // The margin keeps rounding from making a wait of almost nothing.
    return missing > 1e-6 ? missing / this.#perMillisecond : 0;
  }

  take(tokens: number): void {
    const state = this.#state;
    const burst = Math.min(tokens, state[BURST]!);
    state[BURST]! -= burst;
    state[TOKENS]! -= tokens - burst;
  }
}
