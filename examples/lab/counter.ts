/** Counts what is written to it, on the vCPUs: for `thread=vcpu,shared=4`. */
import type { PlainContext, PlainDevice } from "../../mod.ts";

export default class Counter implements PlainDevice {
  #count!: Int32Array<SharedArrayBuffer>;

  attach({ shared }: PlainContext): void {
    this.#count = new Int32Array(shared);
  }
  read(): number {
    return Atomics.load(this.#count, 0);
  }
  write(): void {
    Atomics.add(this.#count, 0, 1);
  }
}
