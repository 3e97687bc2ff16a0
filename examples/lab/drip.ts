/** An entropy device that gives `bytes` bytes each `ms` ms, and tells of them. */
import { type DescriptorChain, DeviceId, featureWords } from "../../mod.ts";
import type { OwnDeviceContext, VirtioDevice, VirtQueue } from "../../mod.ts";

export default class Drip implements VirtioDevice {
  readonly deviceId = DeviceId.ENTROPY;
  readonly features = featureWords();
  readonly queueSizes = [8];
  readonly config = new Uint8Array();
  #context!: OwnDeviceContext;
  #chain!: DescriptorChain;
  #cancel = () => {};

  constructor(readonly options: { bytes: number; ms: number }) {}
  attach(context: OwnDeviceContext): void {
    [this.#context, this.#chain] = [context, context.queues[0]!.chain()];
  }
  activate = () => this.#drip();
  notify(): void {} // it drips by the clock
  reset = () => this.#cancel();
  close = () => this.#cancel();
  #drip(): void {
    const { queues: [queue], setTimer, memory, publish, emit } = this.#context;
    this.#cancel = setTimer(this.options.ms, () => this.#drip());
    if (!queue?.live || !queue.pop(this.#chain)) return;
    const bytes = crypto.getRandomValues(new Uint8Array(this.options.bytes));
    queue.push(this.#chain.head, this.#chain.writable.poke(memory, bytes));
    publish(queue as VirtQueue);
    emit("drop", { bytes: bytes.length });
  }
}
