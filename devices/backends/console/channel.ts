/**
 * A console port that ends in the main isolate: two rings in shared memory,
 * one each way, between the device worker and the isolate. Neither waits for
 * the other, and no byte is lost: what doesn't fit stays where it is.
 *
 * @module
 */
import { drainEventFd, signalEventFd } from "../../../ffi/eventfd.ts";
import { ByteRing } from "../../runtime/byte_ring.ts";
import type { ConsoleBackend, ConsoleLoop } from "./backend.ts";

// Indexes of 32-bit words, all used atomically.
/** 1: the isolate has been told of output, and has not drained it yet. */
const OUTPUT_SIGNALLED = 0;
/** 1: the guest has more output than fitted. */
const OUTPUT_WAITING = 1;
/** 1: the isolate has more input than fitted. */
const INPUT_WAITING = 2;

const WORDS_BYTES = 64;
const CAPACITY = 64 * 1024;
const OUTPUT = WORDS_BYTES;
const INPUT = OUTPUT + ByteRing.byteLength(CAPACITY);
const TOTAL = INPUT + ByteRing.byteLength(CAPACITY);

/** A channel as plain data, to hand to the other thread. */
export interface ConsoleChannel {
  /** The rings. */
  shared: SharedArrayBuffer;
  /** eventfd: the isolate has put input in, or has made room for output. */
  eventFd: number;
}

/** The shared memory of a channel. */
export function createConsoleChannel(): SharedArrayBuffer {
  return new SharedArrayBuffer(TOTAL);
}

/** The main isolate's end. */
export class HostEnd {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #output: ByteRing;
  readonly #input: ByteRing;
  readonly #eventFd: number;

  /** This isolate's view. */
  constructor({ shared, eventFd }: ConsoleChannel) {
    this.#words = new Int32Array(shared, 0, WORDS_BYTES / 4);
    this.#output = new ByteRing(shared, OUTPUT, CAPACITY);
    this.#input = new ByteRing(shared, INPUT, CAPACITY);
    this.#eventFd = eventFd;
  }

  /** Takes all output that there is; the next output signals again. */
  drainOutput(): Uint8Array<ArrayBuffer> {
    // Before the look into the ring: what is pushed later signals again.
    Atomics.store(this.#words, OUTPUT_SIGNALLED, 0);
    const bytes = this.#output.popAll();
    if (Atomics.exchange(this.#words, OUTPUT_WAITING, 0) === 1) {
      signalEventFd(this.#eventFd);
    }
    return bytes;
  }

  /**
   * Gives the guest input, and returns how many bytes fitted. When not all
   * did, `inputRoom` of the other end is called once there is room.
   */
  pushInput(bytes: Uint8Array): number {
    let count = this.#input.pushAll(bytes);
    if (count < bytes.length) {
      Atomics.store(this.#words, INPUT_WAITING, 1);
      // The ring may have been emptied just before.
      count += this.#input.pushAll(bytes.subarray(count));
    }
    if (count > 0) signalEventFd(this.#eventFd);
    return count;
  }

  /** Takes back what the guest has not read; the other end is at rest. */
  dropInput(): void {
    this.#input.popAll();
    Atomics.store(this.#words, INPUT_WAITING, 0);
  }
}

/** What the device's end asks of its thread. */
export interface GuestEndHooks {
  /** There is output: wakes the isolate, once per batch. */
  outputReady(): void;
  /** Input that did not fit would fit now. */
  inputRoom(): void;
}

/** The device worker's end. */
export class GuestEnd implements ConsoleBackend {
  /** The isolate is always there. */
  readonly connected = true;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #output: ByteRing;
  readonly #input: ByteRing;
  readonly #eventFd: number;
  readonly #hooks: GuestEndHooks;
  #loop: ConsoleLoop | undefined;

  /** This thread's view. */
  constructor({ shared, eventFd }: ConsoleChannel, hooks: GuestEndHooks) {
    this.#words = new Int32Array(shared, 0, WORDS_BYTES / 4);
    this.#output = new ByteRing(shared, OUTPUT, CAPACITY);
    this.#input = new ByteRing(shared, INPUT, CAPACITY);
    this.#eventFd = eventFd;
    this.#hooks = hooks;
  }

  attach(loop: ConsoleLoop, changed: () => void): void {
    this.#loop = loop;
    const onReady = () => {
      drainEventFd(this.#eventFd);
      changed();
    };
    loop.watch(this.#eventFd, { onReady });
  }

  write(bytes: Uint8Array, start: number, end: number): number {
    let taken = this.#output.pushFrom(bytes, start, end);
    if (start + taken < end) {
      Atomics.store(this.#words, OUTPUT_WAITING, 1);
      // The isolate may have drained the ring just before.
      taken += this.#output.pushFrom(bytes, start + taken, end);
    }
    if (
      taken > 0 && Atomics.exchange(this.#words, OUTPUT_SIGNALLED, 1) === 0
    ) this.#hooks.outputReady();
    return taken;
  }

  read(bytes: Uint8Array, start: number, end: number): number {
    const count = this.#input.popInto(bytes, start, end);
    if (
      count > 0 && this.#input.free >= CAPACITY / 2 &&
      Atomics.load(this.#words, INPUT_WAITING) === 1 &&
      Atomics.exchange(this.#words, INPUT_WAITING, 0) === 1
    ) this.#hooks.inputRoom();
    return count;
  }

  /** The eventfd is the isolate's. */
  close(): void {
    this.#loop?.unwatch(this.#eventFd);
  }
}
