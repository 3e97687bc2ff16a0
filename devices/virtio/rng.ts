/**
 * The entropy device (virtio 1.2 §5.4): random bytes of the host's, written
 * straight into the driver's buffers.
 *
 * @module
 */
import type { EntropySource } from "../backends/entropy/source.ts";
import type { RateLimiter } from "../runtime/rate_limiter.ts";
import type { DescriptorChain } from "./queue/chain.ts";
import type { DeviceContext, VirtioDevice } from "./device.ts";
import type { VirtQueue } from "./queue/queue.ts";
import { DeviceId, Feature, type FeatureWords, featureWords } from "./spec.ts";

const QUEUE_SIZE = 256;
/** Bytes for one request: §5.4.6.2 lets the device use less than the buffer. */
const REQUEST_MAX = 64 * 1024;
/** Requests per turn, so that one device doesn't starve the others. */
const BUDGET = 16;

/** A virtio entropy device over a source of random bytes. */
export class Rng implements VirtioDevice {
  /** See {@linkcode VirtioDevice.deviceId}. */
  readonly deviceId: number = DeviceId.ENTROPY;
  /** See {@linkcode VirtioDevice.features}: the device has none of its own. */
  readonly features: FeatureWords = featureWords(
    Feature.INDIRECT_DESC,
    Feature.EVENT_IDX,
  );
  /** See {@linkcode VirtioDevice.queueSizes}. */
  readonly queueSizes: readonly number[] = [QUEUE_SIZE];
  /** See {@linkcode VirtioDevice.config}: there is none (§5.4.4). */
  readonly config: Uint8Array = new Uint8Array();
  readonly #source: EntropySource;
  readonly #limiter: RateLimiter | undefined;
  #chain!: DescriptorChain;
  #context!: DeviceContext;
  #waiting = false; // #chain waits for the limiter

  /** A device that passes on what `source` gives, as fast as `limiter` lets. */
  constructor(source: EntropySource, limiter?: RateLimiter) {
    this.#source = source;
    this.#limiter = limiter;
  }

  /** See {@linkcode VirtioDevice.attach}. */
  attach(context: DeviceContext): void {
    this.#context = context;
    this.#chain = context.queues[0]!.chain();
    this.#limiter?.attach(context, () => {
      if (this.#waiting) this.notify(context.queues[0]!);
    });
  }

  /** See {@linkcode VirtioDevice.activate}. */
  activate(): void {}

  /** Fills every available buffer. */
  notify(queue: VirtQueue): void {
    let requests = 0;
    do {
      queue.disableNotification();
      while (this.#waiting || queue.pop(this.#chain)) {
        this.#waiting = !this.#fill(queue);
        if (this.#waiting) return this.#context.publish(queue);
        if (++requests >= BUDGET && this.#context.polled) break;
      }
      this.#context.publish(queue);
    } while (
      queue.enableNotification() &&
      !(requests >= BUDGET && this.#context.polled)
    );
  }

  /** See {@linkcode VirtioDevice.reset}. */
  reset(): void {
    this.#waiting = false;
  }

  /** See {@linkcode VirtioDevice.close}. */
  close(): void {
    this.#limiter?.close();
  }

  /** §5.4.6: fills the current chain; false when it must wait. */
  #fill(queue: VirtQueue): boolean {
    const { head, writable } = this.#chain;
    const wanted = Math.min(writable.bytes, REQUEST_MAX);
    if (this.#limiter?.take(wanted) === false) return false;
    let done = 0;
    for (let i = 0; done < wanted; i++) {
      const length = Math.min(writable.lengthAt(i), wanted - done);
      const filled = this.#source.fill(writable.hostAddressAt(i), length);
      done += filled;
      if (filled < length) break;
    }
    queue.push(head, done);
    return true;
  }
}
