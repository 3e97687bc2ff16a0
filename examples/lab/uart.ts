/** A 16450: Linux's own 8250 driver finds it by `hid=PNP0501`. */
import type { PlainContext, PlainDevice } from "../../mod.ts";

export default class Uart implements PlainDevice {
  #context!: PlainContext;
  #state = {
    registers: new Array<number>(10).fill(0), // 8, 9: the divisor
    input: [] as number[],
    empty: false, // the transmitter has become so, and nobody was told
  };

  attach(context: PlainContext): void {
    this.#context = context;
  }
  read(offset: number): number {
    const { registers, input } = this.#state;
    const at = this.#at(offset);
    const cause = this.#cause();
    const byte = at === 0 ? input.shift() ?? 0 : 0;
    if (at === 2 && cause === 2) this.#state.empty = false;
    if (this.#cause() === 1) this.#context.lower();
    if (at === 0) return byte;
    if (at === 2) return cause;
    if (at === 5) return input.length > 0 ? 0x61 : 0x60;
    return at === 6 ? 0xb0 : registers[at]!;
  }
  write(offset: number, _size: number, value: number): void {
    const at = this.#at(offset);
    if (at === 0) this.#context.emit("byte", value);
    else this.#state.registers[at] = value;
    if (at < 2) this.#state.empty = true;
    if (this.#cause() === 1) this.#context.lower();
    else if (at < 2) this.#context.raise();
  }
  /** What comes in by the line. */
  command(text: unknown): void {
    this.#state.input.push(...new TextEncoder().encode(String(text)));
    if (this.#cause() === 4) this.#context.raise();
  }
  save(): unknown {
    return this.#state;
  }
  restore(state: unknown): void {
    Object.assign(this.#state, state);
  }

  /** With DLAB, the first two are the divisor. */
  #at(offset: number): number {
    const divisor = offset < 2 && this.#state.registers[3]! & 0x80;
    return divisor ? offset + 8 : offset;
  }
  /** What it has an interrupt for: IIR's bits; 1 is nothing. */
  #cause(): number {
    const { registers: [, enabled = 0], input, empty } = this.#state;
    if (enabled & 1 && input.length > 0) return 4;
    return enabled & 2 && empty ? 2 : 1;
  }
}
