/**
 * A 16550A serial port with a terminal at the other end of an infinitely fast
 * cable. Its state is in shared memory, so every vCPU thread answers register
 * accesses itself and console output never waits for another thread.
 *
 * What differs from the chip, and why:
 * - A byte is transmitted at once, so THR is always empty, and the character
 *   timeout has always elapsed.
 * - OUT2 does not gate the interrupt line, which it does on a PC but not on
 *   the chip: a driver that forgets it still works.
 * - Host input has flow control. It stays in a 64 KiB ring, and the receiver
 *   FIFO is the head of that ring: resetting the FIFO loses nothing, and
 *   nothing comes before the guest listens. Linux's 8250 driver resets the
 *   FIFO and reads RBR when it opens the port.
 * - There are no parity, framing or break conditions.
 *
 * § are sections of the PC16550D data sheet.
 *
 * @module
 */
import { ByteDevice } from "../bus.ts";
import { SharedLock } from "../runtime/shared_lock.ts";
import { Reg, SerialState, SerialWord, Uart } from "./uart.ts";

export { SERIAL_PORTS, SerialState } from "./uart.ts";

/**
 * What the port asks of the machine. The functions are called in the thread
 * of the access, without a lock held.
 */
export interface SerialHooks {
  /** An edge on the interrupt line: writes the irqfd. */
  raiseInterrupt(): void;
  /** There is output: wakes the thread that drains it, once per batch. */
  outputReady(): void;
  /**
   * Input that did not fit into the last {@linkcode Serial.pushInput} would
   * fit now: half of the ring is free.
   */
  inputRoom(): void;
  /**
   * True when the machine is to stop, or was put back to another state: ends
   * the wait of a guest thread whose output nobody drains.
   */
  stopping(): boolean;
}

/** How often a writer that waits for room asks whether the machine stops. */
const STOP_CHECK_MS = 20;

/** One isolate's port on the shared state. */
export class Serial extends ByteDevice {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #state: SerialState;
  readonly #uart: Uart;
  readonly #lock: SharedLock;
  readonly #hooks: SerialHooks;

  /** The port on what {@linkcode SerialState.create} made, in any isolate. */
  constructor(shared: SharedArrayBuffer, hooks: SerialHooks) {
    super();
    this.#state = new SerialState(shared);
    this.#words = this.#state.words;
    this.#uart = new Uart(this.#state);
    this.#lock = new SharedLock(this.#words, SerialWord.LOCK);
    this.#hooks = hooks;
  }

  /** A guest's read of the register at `offset`. */
  override readByte(offset: number): number {
    this.#begin();
    const value = this.#uart.read(offset);
    this.#end();
    return value;
  }

  /**
   * A guest's write of the register at `offset`. Blocks while the output ring
   * is full; the byte is dropped when the machine is to stop.
   */
  override writeByte(offset: number, value: number): void {
    this.#begin();
    while (offset === Reg.DATA && this.#uart.outputFull) {
      this.#lock.release();
      if (!this.#waitForRoom()) return;
      this.#begin();
    }
    const transmits = this.#uart.write(offset, value);
    this.#end();
    if (transmits) this.#signalOutput();
  }

  /**
   * Takes all output that there is: for one thread only. The next output
   * calls {@linkcode SerialHooks.outputReady} again; after the last vCPU has
   * ended, one more drain gives what it wrote at the end.
   */
  drainOutput(): Uint8Array<ArrayBuffer> {
    const words = this.#words;
    // Before the look into the ring: what is pushed later signals again.
    Atomics.store(words, SerialWord.OUTPUT_SIGNALLED, 0);
    const bytes = this.#state.output.popAll();
    if (bytes.length > 0) {
      Atomics.add(words, SerialWord.OUTPUT_DRAINS, 1);
      Atomics.notify(words, SerialWord.OUTPUT_DRAINS);
    }
    return bytes;
  }

  /**
   * Gives the guest input, and returns how many bytes fitted. When not all
   * did, {@linkcode SerialHooks.inputRoom} is called as soon as it is worth
   * another try.
   */
  pushInput(bytes: Uint8Array): number {
    this.#begin();
    const count = this.#state.input.pushAll(bytes);
    this.#words[SerialWord.INPUT_WAITING] = count < bytes.length ? 1 : 0;
    this.#uart.fillFromHost();
    this.#end();
    return count;
  }

  #begin(): void {
    this.#lock.acquire();
    this.#uart.begin();
  }

  /** Ends the access; a source that became pending in it is an edge. */
  #end(): void {
    const edge = this.#uart.edge;
    const room = this.#uart.takeInputRoom();
    this.#lock.release();
    if (edge) this.#hooks.raiseInterrupt();
    if (room) this.#hooks.inputRoom();
  }

  /** False when the machine is to stop. */
  #waitForRoom(): boolean {
    const drains = Atomics.load(this.#words, SerialWord.OUTPUT_DRAINS);
    if (this.#state.output.free > 0) return true;
    if (this.#hooks.stopping()) return false;
    Atomics.wait(this.#words, SerialWord.OUTPUT_DRAINS, drains, STOP_CHECK_MS);
    return true;
  }

  /** Calls the reader of the output unless it has been called already. */
  #signalOutput(): void {
    const words = this.#words;
    if (
      Atomics.load(words, SerialWord.OUTPUT_SIGNALLED) === 0 &&
      Atomics.exchange(words, SerialWord.OUTPUT_SIGNALLED, 1) === 0
    ) this.#hooks.outputReady();
  }
}
