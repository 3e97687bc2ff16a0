/**
 * The ports at which the prepared init asks what it is to do
 * (`images/linux/orders.h`): a greeting, the length of its orders, and a port
 * that gives them 32 bits at a time. While there are none yet, init asks again
 * and again, so a machine that is saved meanwhile asks anew when it goes on.
 *
 * @module
 */
import type { BusDevice } from "../bus.ts";

/** Ports of the device. */
export const ORDERS_PORTS = 12;
/** The most bytes of orders. */
export const ORDERS_MAX = 0x1_0000;

const Register = { GREETING: 0, LENGTH: 4, DATA: 8 } as const;
/** "VIR", and in the low byte what the shell is for. */
const GREETING = 0x5649_5200;
/** The length of orders that are not there yet. */
const NOT_YET = 0xffff_fffe;
const ALL_ONES = 0xffff_ffff;

/** Words before the orders' bytes, in shared memory. */
const Word = { MODE: 0, LENGTH: 1, POSITION: 2, ASKED: 3 } as const;
const HEADER = 16;

/** What an init's shell is for. */
export const OrdersMode = { TERMINAL: 0, COMMANDS: 1 } as const;

/**
 * Shared memory for orders that are not there yet.
 *
 * @param mode one of {@linkcode OrdersMode}
 */
export function createOrders(mode: number): SharedArrayBuffer {
  const shared = new SharedArrayBuffer(HEADER + ORDERS_MAX);
  const words = new Uint32Array(shared, 0, HEADER / 4);
  words[Word.MODE] = mode;
  words[Word.LENGTH] = NOT_YET;
  return shared;
}

/** Gives the orders, of at most {@linkcode ORDERS_MAX} bytes. */
export function giveOrders(shared: SharedArrayBuffer, bytes: Uint8Array): void {
  new Uint8Array(shared).set(bytes, HEADER);
  Atomics.store(new Uint32Array(shared), Word.LENGTH, bytes.length);
}

/** Resolves when the guest asks for orders, and there are none yet. */
export async function ordersAsked(shared: SharedArrayBuffer): Promise<void> {
  const words = new Int32Array(shared);
  await Atomics.waitAsync(words, Word.ASKED, 0).value;
}

/** One isolate's ports on the shared state. */
export class OrdersPorts implements BusDevice {
  readonly #words: Uint32Array<SharedArrayBuffer>;
  readonly #asked: Int32Array<SharedArrayBuffer>;
  readonly #data: Uint32Array<SharedArrayBuffer>;

  /** The ports on what {@linkcode createOrders} made. */
  constructor(shared: SharedArrayBuffer) {
    this.#words = new Uint32Array(shared, 0, HEADER / 4);
    this.#asked = new Int32Array(shared, 0, HEADER / 4);
    this.#data = new Uint32Array(shared, HEADER);
  }

  /** The registers have 32 bits; all other accesses find nothing. */
  read(offset: number, size: number): number {
    if (size !== 4) return ALL_ONES >>> (32 - 8 * size);
    switch (offset) {
      case Register.GREETING:
        return GREETING | this.#words[Word.MODE]!;
      case Register.LENGTH:
        return this.#length();
      case Register.DATA:
        return this.#next();
    }
    return ALL_ONES;
  }

  /** Nothing can be written. */
  write(): void {}

  /** Who asks for the length reads from the beginning. */
  #length(): number {
    const length = Atomics.load(this.#words, Word.LENGTH);
    Atomics.store(this.#words, Word.POSITION, 0);
    if (length === NOT_YET) {
      Atomics.store(this.#asked, Word.ASKED, 1);
      Atomics.notify(this.#asked, Word.ASKED);
    }
    return length;
  }

  #next(): number {
    const position = Atomics.add(this.#words, Word.POSITION, 1);
    return 4 * position < Atomics.load(this.#words, Word.LENGTH)
      ? this.#data[position] ?? ALL_ONES
      : ALL_ONES;
  }
}
