/**
 * Frames from a transmit queue to a backend (virtio 1.2 §5.1.6.2).
 *
 * @module
 */
import { Errno } from "../../../ffi/errno.ts";
import type { Frame, NetBackend } from "../../backends/net/backend.ts";
import type { RateLimiter } from "../../runtime/rate_limiter.ts";
import type { DescriptorChain } from "../queue/chain.ts";
import type { DeviceContext } from "../device.ts";
import type { VirtQueue } from "../queue/queue.ts";

/** Frames per turn, so that one device doesn't starve the others. */
const BUDGET = 256;

/**
 * Takes chains from the ring, as many as one batch of the backend may have,
 * and sends them. What the backend has no room for waits here, in order.
 */
export class NetTransmitter {
  readonly #backend: NetBackend;
  readonly #limiter: RateLimiter | undefined;
  // Frame n of the batch is the readable part of chain n. The first
  // #count are taken; the others are free.
  #chains!: DescriptorChain[];
  #frames!: Frame[];
  #count = 0;

  /** Sends to `backend`, as fast as `limiter` lets. */
  constructor(backend: NetBackend, limiter?: RateLimiter) {
    this.#backend = backend;
    this.#limiter = limiter;
  }

  /** Once, before the guest runs. */
  attach(queue: VirtQueue): void {
    this.#chains = queue.chains(this.#backend.batch);
    this.#frames = this.#chains.map(({ readable }) => readable);
  }

  /**
   * Sends what the driver has made available, one frame per chain. What is
   * beyond the limits stays in the ring: run it again when they allow more.
   *
   * @param linkUp false: frames go nowhere, and are given back
   * @returns false when the backend has no room: run it again when it has
   */
  run(queue: VirtQueue, context: DeviceContext, linkUp: boolean): boolean {
    const backend = this.#backend;
    if (linkUp && backend.unsent) backend.send(this.#frames, 0);
    let done = 0;
    do {
      queue.disableNotification();
      while (done < BUDGET || !context.polled) {
        this.#fill(queue);
        if (this.#count === 0) break;
        const before = this.#count;
        this.#send(queue, linkUp);
        context.publish(queue);
        done += before - this.#count;
        if (this.#count > 0) return false;
      }
      context.publish(queue);
    } while (
      // At its limit it waits for the limiter's timer, and for no doorbell.
      this.#limiter?.blocked !== true &&
      queue.enableNotification() && (done < BUDGET || !context.polled)
    );
    return !(linkUp && backend.unsent);
  }

  /** Forgets the chains that wait. */
  reset(): void {
    this.#count = 0;
  }

  #fill(queue: VirtQueue): void {
    const limiter = this.#limiter;
    while (this.#count < this.#chains.length) {
      const chain = this.#chains[this.#count]!;
      if (limiter && !(queue.hasAvailable && limiter.mayStart())) return;
      if (!queue.pop(chain)) return;
      if (chain.readable.count > 0) {
        limiter?.charge(chain.readable.bytes);
        this.#count++;
      } else queue.push(chain.head, 0); // nothing to send
    }
  }

  #send(queue: VirtQueue, linkUp: boolean): void {
    const count = this.#count;
    const { results } = this.#backend;
    if (linkUp) this.#backend.send(this.#frames, count);
    this.#count = 0;
    for (let i = 0; i < count; i++) {
      if (linkUp && results[i] === -Errno.EAGAIN) this.#keep(i);
      // A frame that the backend refused is lost, as on a wire.
      else queue.push(this.#chains[i]!.head, 0);
    }
  }

  /** Moves chain `from` behind those that wait. */
  #keep(from: number): void {
    const to = this.#count++;
    if (from === to) return;
    const chain = this.#chains[to]!;
    this.#chains[to] = this.#chains[from]!;
    this.#chains[from] = chain;
    this.#frames[to] = this.#chains[to].readable;
    this.#frames[from] = chain.readable;
  }
}
