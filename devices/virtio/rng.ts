/**
 * The entropy device (virtio 1.2 §5.4): random bytes of the host's, written
 * straight into the driver's buffers.
 *
 * @module
 */
import type { EntropySource } from "../backends/entropy/source.ts";
import type { RateLimiter } from "../runtime/rate_limiter.ts";
import type { ChainPart, DescriptorChain } from "./queue/chain.ts";
import type { DeviceContext, VirtioDevice } from "./device.ts";
import { type ChainServer, Drain } from "./queue/drain.ts";
import type { VirtQueue } from "./queue/queue.ts";
import { DeviceId, Feature, type FeatureWords, featureWords } from "./spec.ts";

/** What lets requests wait. */
export type RngLimiter = Pick<RateLimiter, "attach" | "take" | "close">;

const QUEUE_SIZE = 256;
/** Bytes for one request: §5.4.6.2 lets the device use less than the buffer. */
const REQUEST_MAX = 64 * 1024;
/** Requests per turn, so that one device doesn't starve the others. */
const BUDGET = 16;

/** A virtio entropy device over a source of random bytes. */
export class Rng implements VirtioDevice, ChainServer {
  readonly deviceId: number = DeviceId.ENTROPY;
  /** The device has none of its own. */
  readonly features: FeatureWords = featureWords(
    Feature.INDIRECT_DESC,
    Feature.EVENT_IDX,
  );
  readonly queueSizes: readonly number[] = [QUEUE_SIZE];
  /** There is none (§5.4.4). */
  readonly config: Uint8Array = new Uint8Array();
  readonly #source: EntropySource;
  readonly #limiter: RngLimiter | undefined;
  #context!: DeviceContext;
  #chain!: DescriptorChain;
  #drain!: Drain;
  #waiting = false; // #chain waits for the limiter

  /** A device that passes on what `source` gives, as fast as `limiter` lets. */
  constructor(source: EntropySource, limiter?: RngLimiter) {
    this.#source = source;
    this.#limiter = limiter;
  }

  attach(context: DeviceContext): void {
    this.#context = context;
    this.#chain = context.queues[0]!.chain();
    this.#drain = new Drain(context, this, BUDGET);
    this.#limiter?.attach(context, () => {
      if (this.#waiting) this.notify(context.queues[0]!);
    });
  }

  activate(): void {}

  /** Fills every available buffer. */
  notify(queue: VirtQueue): void {
    if (this.#waiting) this.serve(this.#chain, queue);
    this.#drain.run(queue);
  }

  /** There is one chain, and it may be waiting for the limiter. */
  room(): DescriptorChain | undefined {
    return this.#waiting ? undefined : this.#chain;
  }

  /** §5.4.6: fills the writable part, or keeps the chain until it may. */
  serve(chain: DescriptorChain, queue: VirtQueue): DescriptorChain | undefined {
    const { head, writable } = chain;
    const wanted = Math.min(writable.bytes, REQUEST_MAX);
    this.#waiting = this.#limiter?.take(wanted) === false;
    if (!this.#waiting) queue.push(head, this.#fill(writable, wanted));
    return this.room();
  }

  /** A request that waits for the limiter is back in its queue. */
  quiesce(): void {
    this.#context.queues[0]!.rewind();
    this.#waiting = false;
  }

  reset(): void {
    this.#waiting = false;
  }

  close(): void {
    this.#limiter?.close();
  }

  /** Bytes that the source had, `wanted` at most. */
  #fill(part: ChainPart, wanted: number): number {
    let done = 0;
    for (let i = 0; done < wanted; i++) {
      const length = Math.min(part.lengthAt(i), wanted - done);
      const filled = this.#source.fill(part.hostAddressAt(i), length);
      done += filled;
      if (filled < length) break;
    }
    return done;
  }
}
