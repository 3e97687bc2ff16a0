/**
 * A virtio device in thirty lines: an entropy device (virtio 1.2 §5.4) that
 * Linux finds as /dev/hwrng. It runs on the device worker; nothing of Vireo
 * was changed for it. See examples/rng_boot.ts.
 */
import {
  type DescriptorChain,
  type DeviceContext,
  DeviceId,
  featureWords,
  type VirtioDevice,
  type VirtQueue,
} from "../mod.ts";

/** Fills whatever the driver offers with random bytes. */
export default class Rng implements VirtioDevice {
  readonly deviceId = DeviceId.ENTROPY;
  readonly features = featureWords();
  readonly queueSizes = [8];
  readonly config = new Uint8Array();
  #context!: DeviceContext;
  #chain!: DescriptorChain;

  attach(context: DeviceContext): void {
    this.#context = context;
    this.#chain = context.queues[0]!.chain();
  }

  notify(queue: VirtQueue): void {
    const chain = this.#chain;
    while (queue.pop(chain)) {
      const size = Math.min(chain.writable.bytes, 65536);
      const random = crypto.getRandomValues(new Uint8Array(size));
      queue.push(chain.head, chain.writable.poke(this.#context.memory, random));
    }
    this.#context.publish(queue);
  }

  activate(): void {}
  reset(): void {}
  quiesce(): void {} // for snapshots: it never keeps a chain
  close(): void {}
}
