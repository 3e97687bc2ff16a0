/**
 * The driver's side of the serial port, for tests: counted hooks, and what a
 * test and its vCPU threads share.
 *
 * @module
 */
import { Serial, type SerialHooks, SerialState } from "../serial.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A port whose interrupts and calls to the host are counted. */
export class TestPort implements SerialHooks {
  /** The state; other isolates can make ports on it. */
  readonly shared: SharedArrayBuffer;
  /** The port under test. */
  readonly serial: Serial;
  /** Edges on the interrupt line. */
  interrupts = 0;
  /** Calls of `outputReady`. */
  outputSignals = 0;
  /** Calls of `inputRoom`. */
  inputRooms = 0;
  /** What `stopping` answers. */
  stops = false;

  /** A port on `shared`, or one that was just reset. */
  constructor(shared: SharedArrayBuffer = SerialState.create()) {
    this.shared = shared;
    this.serial = new Serial(shared, this);
  }

  /** Reads a register. */
  read(register: number): number {
    return this.serial.read(register, 1);
  }

  /** Writes a register. */
  write(register: number, value: number): void {
    this.serial.write(register, 1, value);
  }

  /** The edges since the last call. */
  takeInterrupts(): number {
    const count = this.interrupts;
    this.interrupts = 0;
    return count;
  }

  /** Host input; all of it must fit. */
  type(text: string): void {
    const bytes = encoder.encode(text);
    if (this.serial.pushInput(bytes) !== bytes.length) {
      throw new Error("the input ring is full");
    }
  }

  /** What the guest has written since the last call. */
  printed(): string {
    return decoder.decode(this.serial.drainOutput());
  }

  /** Reads RBR while LSR says that there is data, at most `limit` times. */
  receive(limit = Infinity): string {
    let text = "";
    while (text.length < limit && this.read(5) & 1) {
      text += String.fromCharCode(this.read(0));
    }
    return text;
  }

  /** {@linkcode SerialHooks.raiseInterrupt}. */
  raiseInterrupt(): void {
    this.interrupts++;
  }

  /** {@linkcode SerialHooks.outputReady}. */
  outputReady(): void {
    this.outputSignals++;
  }

  /** {@linkcode SerialHooks.inputRoom}. */
  inputRoom(): void {
    this.inputRooms++;
  }

  /** {@linkcode SerialHooks.stopping}. */
  stopping(): boolean {
    return this.stops;
  }
}

/** Words of the array that a test and its workers share. */
export const Control = {
  /** Calls of `outputReady`; the test waits here. */
  SIGNALS: 0,
  /** 1: what `stopping` answers. */
  STOP: 1,
  /** Workers that have begun. */
  STARTED: 2,
  /** A counter without atomics. */
  COUNTER: 3,
  /** A lock word for it. */
  LOCK: 4,
  /** Workers that are done. */
  FINISHED: 5,
  /** Bytes that were received by all workers. */
  RECEIVED: 6,
  /** Calls of `inputRoom`; the test waits here. */
  ROOMS: 7,
} as const;

/** What `serial_worker.ts` is to do. */
export interface Task {
  /** Which of the worker's functions. */
  name: "transmit" | "everything" | "receive" | "count";
  /** The port's state. */
  shared: SharedArrayBuffer;
  /** The {@linkcode Control} words. */
  control: SharedArrayBuffer;
  /** How often. */
  count: number;
  /** The worker's number, below 2. */
  id: number;
  /** What the worker has received. */
  received: SharedArrayBuffer;
}
