/**
 * The serial port's state in shared memory: plain data, so that every vCPU
 * thread works on the same port and a snapshot is a copy.
 *
 * @module
 */
import { ByteRing } from "../runtime/byte_ring.ts";
import { FIFO_DEPTH, Msr } from "./serial_registers.ts";

/** Indices of the 32-bit words. Those from `LOCK` on are used atomically. */
export const SerialWord = {
  /** Interrupt enable register. */
  IER: 0,
  /** Line control register. */
  LCR: 1,
  /** Modem control register. */
  MCR: 2,
  /** Modem status register: lines and deltas. */
  MSR: 3,
  /** Scratch register. */
  SCR: 4,
  /** Divisor latch, low byte. */
  DLL: 5,
  /** Divisor latch, high byte. */
  DLM: 6,
  /** Error bits of the line status register. */
  LSR_ERRORS: 7,
  /** Bytes that the receiver FIFO holds at most: 16, or 1 when it is off. */
  RX_DEPTH: 8,
  /** Receiver FIFO trigger level in bytes. */
  RX_TRIGGER: 9,
  /** 1: THR has become empty, and IIR was not read since. */
  THR_EMPTIED: 10,
  /** Bytes at the head of the input ring that are in the receiver FIFO. */
  RX_HOST: 11,
  /** Bytes in the receiver FIFO that came through the loopback. */
  RX_LOOPED: 12,
  /** Index of the oldest looped byte. */
  LOOPED_HEAD: 13,
  /** Reads of LSR in a row. */
  LSR_READS: 14,
  /** 1: the guest reads by polling LSR. */
  POLLED: 15,
  /** 1: the host's writer has more input than fitted. */
  INPUT_WAITING: 16,
  /** Protects everything above, the looped bytes, and the rings' guest ends. */
  LOCK: 32,
  /** 1: the reader of the output has been woken and has not drained yet. */
  OUTPUT_SIGNALLED: 33,
  /** Counts drains of the output; writers sleep on it while it is full. */
  OUTPUT_DRAINS: 34,
} as const;

/** Capacity of the output ring and of the input ring in bytes. */
export const RING_CAPACITY: number = 64 * 1024;

const WORD_COUNT = 64;
const LOOPED = WORD_COUNT * 4;
const OUTPUT = LOOPED + 64;
const INPUT = OUTPUT + ByteRing.byteLength(RING_CAPACITY);
const TOTAL = INPUT + ByteRing.byteLength(RING_CAPACITY);

/** The modem lines with a terminal at the other end of the cable. */
export const CONNECTED: number = Msr.CTS | Msr.DSR | Msr.DCD;

/** One isolate's views of the state. */
export class SerialState {
  /** The {@linkcode SerialWord}s. */
  readonly words: Int32Array<SharedArrayBuffer>;
  /** A ring of {@linkcode FIFO_DEPTH} bytes. */
  readonly looped: Uint8Array<SharedArrayBuffer>;
  /** Guest to host. */
  readonly output: ByteRing;
  /** Host to guest. */
  readonly input: ByteRing;

  /** The state after a hardware reset (PC16550D §8). */
  static create(): SharedArrayBuffer {
    const shared = new SharedArrayBuffer(TOTAL);
    const words = new Int32Array(shared, 0, WORD_COUNT);
    words[SerialWord.RX_DEPTH] = 1;
    words[SerialWord.RX_TRIGGER] = 1;
    words[SerialWord.MSR] = CONNECTED;
    return shared;
  }

  readonly #shared: SharedArrayBuffer;

  /** Views on what {@linkcode SerialState.create} made, in any isolate. */
  constructor(shared: SharedArrayBuffer) {
    this.#shared = shared;
    this.words = new Int32Array(shared, 0, WORD_COUNT);
    this.looped = new Uint8Array(shared, LOOPED, FIFO_DEPTH);
    this.output = new ByteRing(shared, OUTPUT, RING_CAPACITY);
    this.input = new ByteRing(shared, INPUT, RING_CAPACITY);
  }

  /**
   * A copy of it without the rings, and behind that the input which the guest
   * has not read; nobody may use it meanwhile.
   */
  save(): Uint8Array<ArrayBuffer> {
    const input = this.input.popAll();
    this.input.pushAll(input);
    const saved = new Uint8Array(OUTPUT + input.length);
    saved.set(new Uint8Array(this.#shared, 0, OUTPUT));
    saved.set(input, OUTPUT);
    return saved;
  }

  /**
   * It is as saved, and has no output; nobody may use it meanwhile.
   *
   * @returns false when `saved` is of another size: nothing has changed
   */
  restore(saved: Uint8Array): boolean {
    const { length } = saved;
    if (length === TOTAL) return this.#restoreWhole(saved);
    if (length < OUTPUT || length > OUTPUT + RING_CAPACITY) return false;
    new Uint8Array(this.#shared).set(saved.subarray(0, OUTPUT));
    this.input.popAll();
    this.input.pushAll(saved.subarray(OUTPUT));
    this.output.popAll();
    this.words[SerialWord.OUTPUT_SIGNALLED] = 0;
    this.words[SerialWord.LOCK] = 0;
    return true;
  }

  /** From a snapshot that has all of it, as the first ones had. */
  #restoreWhole(saved: Uint8Array): boolean {
    const shared = new SharedArrayBuffer(TOTAL);
    new Uint8Array(shared).set(saved);
    const whole = new SerialState(shared);
    const { length } = whole.input; // of indices from anywhere
    if (length < 0 || length > RING_CAPACITY) return false;
    return this.restore(whole.save());
  }
}
