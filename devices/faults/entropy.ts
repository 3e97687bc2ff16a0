/**
 * Faults of a source of random bytes. Only a device that has them has this.
 *
 * @module
 */
import type { EntropySource } from "../backends/entropy/source.ts";
import { viewOf } from "../../ffi/memory/mmap.ts";
import type { WatchList } from "../runtime/rate_limiter.ts";
import type { Timers } from "../runtime/timers.ts";
import type { RngLimiter } from "../virtio/rng.ts";
import { corrupt, delayOf, type Fate, type Faults } from "./rules.ts";

/** A source with faults; as its device's limit, it lets requests wait. */
export class FaultyEntropy implements EntropySource, RngLimiter {
  timers: Timers | undefined;
  readonly #source: EntropySource;
  readonly #limiter: RngLimiter | undefined;
  readonly #faults: Faults;
  #resume = () => {};
  #fated = false; // the device's next request has its fate
  #fate: Fate | undefined;
  #waits = false;
  #left = 0; // bytes that the request gets

  /** Around `source`, and `limiter`, which it closes. */
  constructor(
    source: EntropySource,
    limiter: RngLimiter | undefined,
    faults: Faults,
  ) {
    this.#source = source;
    this.#limiter = limiter;
    this.#faults = faults;
  }

  attach(list: WatchList, resume: () => void): void {
    this.#resume = resume;
    this.#limiter?.attach(list, resume);
  }

  /** False: not yet. Then it is asked again. */
  take(wanted: number): boolean {
    if (!this.#fated) this.#begin(wanted);
    if (this.#waits || this.#limiter?.take(wanted) === false) return false;
    this.#fated = false;
    const { effect, rule } = this.#fate ?? {};
    this.#left = effect === "short" ? rule!.bytes ?? 512 : wanted;
    return true;
  }

  fill(address: number, length: number): number {
    const count = this.#source.fill(address, Math.min(length, this.#left));
    this.#left -= count;
    if (this.#fate?.effect === "corrupt") {
      corrupt(new Uint8Array(viewOf(address, count)), 0, this.#fate);
    }
    return count;
  }

  /** A request that is stalled goes on. */
  goOn(): void {
    if (this.#fate?.effect === "stall") this.#end();
  }

  /** The device has no request any more. */
  reset(): void {
    this.#fated = this.#waits = false;
  }

  close(): void {
    this.#limiter?.close();
  }

  #begin(wanted: number): void {
    const fate = this.#fate = this.#faults.next("fill", 0, wanted);
    this.#fated = true;
    this.#waits = fate?.effect === "stall" || fate?.effect === "delay";
    if (fate?.effect !== "delay") return;
    this.timers!.set(delayOf(fate), () => {
      if (this.#fate === fate) this.#end();
    });
  }

  #end(): void {
    if (!this.#waits) return;
    this.#waits = false;
    this.#resume();
  }
}
