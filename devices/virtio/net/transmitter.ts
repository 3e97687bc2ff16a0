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
import { type ChainServer, Drain } from "../queue/drain.ts";
import type { VirtQueue } from "../queue/queue.ts";

/** Frames per turn, so that one device doesn't starve the others. */
const BUDGET = 256;

/**
 * Takes chains from the ring, as many as one batch of the backend may have,
 * and sends them. What the backend has no room for waits here, in order.
 */
export class NetTransmitter implements ChainServer {
  readonly #backend: NetBackend;
  readonly #limiter: RateLimiter | undefined;
  // Frame n of the batch is the readable part of chain n. The first
  // #count are taken; the others are free.
  #chains!: DescriptorChain[];
  #frames!: Frame[];
  #drain!: Drain;
  #context!: DeviceContext;
  #count = 0;
  #most = 0; // that #count may be; 0 when the backend has no room
  #linkUp = true;

  /** Sends to `backend`, as fast as `limiter` lets. */
  constructor(backend: NetBackend, limiter?: RateLimiter) {
    this.#backend = backend;
    this.#limiter = limiter;
  }

  /** Once, before the guest runs. */
  attach(context: DeviceContext, queue: VirtQueue): void {
    this.#context = context;
    this.#chains = queue.chains(this.#backend.batch);
    this.#frames = this.#chains.map(({ readable }) => readable);
    this.#drain = new Drain(context, this, BUDGET);
  }

  /**
   * Sends what the driver has made available, one frame per chain. What is
   * beyond the limits stays in the ring: run it again when they allow more.
   *
   * @param linkUp false: frames go nowhere, and are given back
   * @returns false when the backend has no room: run it again when it has
   */
  run(queue: VirtQueue, linkUp: boolean): boolean {
    const backend = this.#backend;
    if (linkUp && backend.unsent) backend.send(this.#frames, 0);
    this.#linkUp = linkUp;
    this.#most = backend.batch;
    this.#drain.run(queue);
    if (this.#count > 0) queue.disableNotification(); // more frames don't help
    return this.#count === 0 && !(linkUp && backend.unsent);
  }

  /** A place in the batch, if backend and limits allow another frame. */
  room(queue: VirtQueue): DescriptorChain | undefined {
    if (this.#count >= this.#most) return undefined;
    if (this.#limiter?.holdsBack(queue)) return undefined;
    return this.#chains[this.#count];
  }

  /** Adds a frame to the batch. */
  serve(chain: DescriptorChain, queue: VirtQueue): DescriptorChain | undefined {
    const { head, readable } = chain;
    if (readable.count > 0) {
      this.#limiter?.charge(readable.bytes);
      this.#count++;
    } else queue.push(head, 0); // nothing to send
    return this.room(queue);
  }

  /** Sends the batch; the frames without room stay in it. */
  flush(queue: VirtQueue): void {
    const count = this.#count;
    const { results } = this.#backend;
    if (!this.#linkUp) results.fill(0, 0, count);
    else if (count > 0) this.#backend.send(this.#frames, count);
    this.#count = 0;
    for (let i = 0; i < count; i++) {
      if (results[i] === -Errno.EAGAIN) this.#keep(i);
      // A frame that the backend refused is lost, as on a wire.
      else queue.push(this.#chains[i]!.head, 0);
    }
    this.#context.record?.frames(queue.index, results, count);
    if (this.#count > 0) this.#most = 0;
    this.#context.publish(queue);
  }

  /** The frames that wait for room are lost. */
  quiesce(queue: VirtQueue): void {
    for (let i = 0; i < this.#count; i++) queue.push(this.#chains[i]!.head, 0);
    this.#count = 0;
    this.#context.publish(queue);
  }

  /** Forgets the chains that wait. */
  reset(): void {
    this.#count = 0;
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
