/** A panel of 8 LEDs: a bit each of what was written last. */
import type { PlainContext, PlainDevice } from "../../mod.ts";

export default class Leds implements PlainDevice {
  #context!: PlainContext;
  #lit = 0;

  attach(context: PlainContext): void {
    this.#context = context;
  }
  read(): number {
    return this.#lit;
  }
  write(_offset: number, _size: number, value: number): void {
    this.#lit = value & 0xff;
    this.#context.log(this.picture);
    this.#context.emit("leds", this.#lit);
  }
  get picture(): string {
    const bits = [7, 6, 5, 4, 3, 2, 1, 0].map((bit) => this.#lit >> bit & 1);
    return bits.map((lit) => lit ? "●" : "○").join(" ");
  }
  command(): string {
    return this.picture;
  }
  save(): number {
    return this.#lit;
  }
  restore(lit: unknown): void {
    this.#lit = Number(lit) & 0xff;
  }
}
