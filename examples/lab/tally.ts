/** A virtio device that answers with one record, driven by `images/lab/tally.c`. */
import { type DescriptorChain, featureWords } from "../../mod.ts";
import type { OwnDeviceContext, VirtioDevice, VirtQueue } from "../../mod.ts";

/** Flags, counter, value, 32 bits each: none of it is valid. */
const RECORD = new Uint8Array(12);

export default class Tally implements VirtioDevice {
  readonly deviceId = 0x7a11;
  readonly features = featureWords();
  readonly queueSizes = [8];
  readonly config = new Uint8Array();
  #context!: OwnDeviceContext;
  #chain!: DescriptorChain;

  attach(context: OwnDeviceContext): void {
    [this.#context, this.#chain] = [context, context.queues[0]!.chain()];
  }
  activate(): void {}
  notify(): void {
    const { queues: [queue], memory, publish } = this.#context;
    while (queue!.live && queue!.pop(this.#chain)) {
      const { head, writable } = this.#chain;
      queue!.push(head, writable.poke(memory, RECORD));
    }
    publish(queue as VirtQueue);
  }
  quiesce(): void {}
  reset(): void {}
  close(): void {}
}
