/** A gauge of three channels, driven by `images/lab/gauge.c`: `mmio=40,hid=VREO0001`. */
import type { PlainDevice } from "../../mod.ts";

const MAGIC = 0x47415547;
const VALUES = [21, 1013, 40];

export default class Gauge implements PlainDevice {
  #channel = 0;

  read(offset: number): number {
    // Without flags it has no units, and of version 0 no calibration.
    const value = VALUES[this.#channel] ?? 0;
    return [MAGIC, VALUES.length, this.#channel, value, 0, 0][offset >> 2] ?? 0;
  }
  write(offset: number, _size: number, value: number): void {
    if (offset === 8) this.#channel = value;
  }
  save(): number {
    return this.#channel;
  }
  restore(channel: unknown): void {
    this.#channel = Number(channel);
  }
}
