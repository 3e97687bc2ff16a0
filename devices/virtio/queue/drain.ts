/**
 * The loop of every queue of requests: take what the driver has made
 * available, serve it, show what is done, and ask to be told of the next.
 *
 * @module
 */
import type { DeviceContext } from "../device.ts";
import type { DescriptorChain } from "./chain.ts";
import type { VirtQueue } from "./queue.ts";

/** What a {@linkcode Drain} hands the chains to. */
export interface ChainServer {
  /**
   * The chain to take the next one into, or undefined while nothing can be
   * done with it. Then it stays in the ring, and whoever changes that runs the
   * drain again: no doorbell will.
   */
  room(queue: VirtQueue): DescriptorChain | undefined;
  /**
   * Serves what was taken, now or, with others, at {@linkcode flush}. Returns
   * the {@linkcode room} for the next.
   */
  serve(chain: DescriptorChain, queue: VirtQueue): DescriptorChain | undefined;
  /**
   * No more is taken for now: carries out what waits for that, and publishes
   * what is done. Default: publishes.
   */
  flush?(queue: VirtQueue): void;
}

/**
 * Drains queues for one server. It is made once; a run allocates nothing.
 *
 * While it runs, the driver is asked for no doorbell. A chain that it does not
 * see any more is seen by the thread, which looks into the ring when it polls,
 * and in any case between the request for a doorbell and its sleep
 * ({@linkcode VirtQueue.enable}).
 */
export class Drain {
  readonly #context: DeviceContext;
  readonly #server: ChainServer;
  readonly #budget: number;

  /**
   * A drain for `server`.
   *
   * @param budget the most chains of one run, so that no queue starves the
   *   thread's others; what is left is found by the next poll
   */
  constructor(context: DeviceContext, server: ChainServer, budget: number) {
    this.#context = context;
    this.#server = server;
    this.#budget = budget;
  }

  /** Takes chains from `queue` as long as there are some, and room for them. */
  run(queue: VirtQueue): void {
    const server = this.#server;
    queue.disableNotification();
    let left = this.#budget;
    let chain = server.room(queue);
    for (;;) {
      if (chain === undefined) {
        this.#flush(queue); // which may make room
        chain = server.room(queue);
        if (chain === undefined) return;
      }
      if (left-- === 0 || !queue.pop(chain)) {
        this.#flush(queue);
        return queue.enableNotification();
      }
      chain = server.serve(chain, queue);
    }
  }

  #flush(queue: VirtQueue): void {
    if (this.#server.flush) this.#server.flush(queue);
    else this.#context.publish(queue);
  }
}
