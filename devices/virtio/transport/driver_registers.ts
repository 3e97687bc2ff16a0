/**
 * A driver's accesses to a device, whatever transport carries them: every one
 * is answered in the thread that made it, from the device's shared page. Only
 * activation, reset and configuration writes reach the device worker.
 *
 * @module
 */
import {
  type DeviceState,
  DeviceWord,
  QueueWord,
  queueWord,
  Request,
} from "./device_state.ts";
import { Feature, Status } from "../spec.ts";

/** What a transport needs from the thread it runs on. */
export interface TransportHooks {
  /** Wakes the device worker: {@linkcode DeviceWord.REQUEST} is set. */
  requestReady(): void;
  /** Queue `index`'s doorbell, where no ioeventfd takes the write. */
  notify(index: number): void;
  /** True when the machine ends: nobody answers requests any more. */
  stopping(): boolean;
}

/** One device's registers, without their places. It allocates nothing. */
export class DriverRegisters {
  readonly #state: DeviceState;
  readonly #words: Int32Array;
  readonly #hooks: TransportHooks;

  /** Registers over the device's shared page. */
  constructor(state: DeviceState, hooks: TransportHooks) {
    this.#state = state;
    this.#words = state.words;
    this.#hooks = hooks;
  }

  /** Asks the device worker to look at what only the transport knows. */
  transportChanged(): void {
    if (!this.#lock()) return;
    this.#request(Request.TRANSPORT);
    this.#unlock();
  }

  /** §3.1.1: the driver's steps; bits are only added, 0 resets. */
  writeStatus(value: number): void {
    if (!this.#lock()) return;
    const words = this.#words;
    const current = Atomics.load(words, DeviceWord.STATUS);
    if (value === 0) {
      this.#reset();
    } else if ((current & ~Status.DEVICE_NEEDS_RESET & ~value) === 0) {
      const refused = this.#refusedBits(current, value);
      Atomics.or(words, DeviceWord.STATUS, value & ~refused & 0x8f);
      const now = Atomics.load(words, DeviceWord.STATUS);
      if (now & ~current & Status.DRIVER_OK) {
        words[DeviceWord.ACTIVE] = 1;
        this.#request(Request.ACTIVATE);
      }
    } // else a bit would be cleared, which §2.1.1 forbids: ignored
    this.#unlock();
  }

  /** Bits of a status write that the device does not accept. */
  #refusedBits(current: number, value: number): number {
    let refused = 0;
    const added = value & ~current;
    if (added & Status.FEATURES_OK && !this.#featuresAcceptable()) {
      refused |= Status.FEATURES_OK; // §2.2.2, §3.1.1 step 5
    }
    const featuresOk = (current | (value & ~refused)) & Status.FEATURES_OK;
    if (added & Status.DRIVER_OK && !featuresOk) refused |= Status.DRIVER_OK;
    return refused;
  }

  /** Only offered bits, and VERSION_1 among them (§6.1, §6.2). */
  #featuresAcceptable(): boolean {
    const words = this.#words;
    const low = words[DeviceWord.DRIVER_FEATURES]! &
      ~words[DeviceWord.DEVICE_FEATURES]!;
    const high = words[DeviceWord.DRIVER_FEATURES + 1]! &
      ~words[DeviceWord.DEVICE_FEATURES + 1]!;
    return low === 0 && high === 0 &&
      this.#state.hasFeature(Feature.VERSION_1);
  }

  /** Sets one word of the accepted features, by the driver's selector. */
  writeDriverFeatures(value: number): void {
    const words = this.#words;
    // Not while another vCPU has them checked.
    if (!this.#lock()) return;
    // §3.1.1: features are fixed once FEATURES_OK is set.
    const fixed = Atomics.load(words, DeviceWord.STATUS) & Status.FEATURES_OK;
    const select = words[DeviceWord.DRIVER_FEATURES_SEL]! >>> 0;
    if (!fixed && select < 2) {
      words[DeviceWord.DRIVER_FEATURES + select] = value;
    }
    this.#unlock();
  }

  /** Switches the selected queue on or off; off when it returns. */
  writeQueueReady(ready: number): void {
    const select = this.#words[DeviceWord.QUEUE_SEL]! >>> 0;
    if (select >= this.#words[DeviceWord.QUEUE_COUNT]!) return;
    // Not while another vCPU has the device look at its queues.
    if (!this.#lock()) return;
    const at = queueWord(select, QueueWord.READY);
    if (ready === 0) {
      this.#stopQueue(select);
    } else if (this.#words[DeviceWord.ACTIVE] === 0) {
      this.#words[at] = ready;
    } else if (
      this.#words[at] === 0 && this.#state.hasFeature(Feature.RING_RESET)
    ) {
      this.#words[at] = 1; // §2.6.1.2
      this.#requestForQueue(Request.QUEUE_START, select);
    }
    this.#unlock();
  }

  /** §2.6.1.1: resets the selected queue; done when it returns. */
  writeQueueReset(): void {
    const select = this.#words[DeviceWord.QUEUE_SEL]! >>> 0;
    if (select >= this.#words[DeviceWord.QUEUE_COUNT]!) return;
    if (!this.#lock()) return;
    if (this.#state.hasFeature(Feature.RING_RESET)) {
      this.#stopQueue(select);
      this.#state.clearQueue(select);
    }
    this.#unlock();
  }

  #stopQueue(index: number): void {
    this.#words[queueWord(index, QueueWord.READY)] = 0;
    if (this.#words[DeviceWord.ACTIVE] === 0) return;
    this.#requestForQueue(Request.QUEUE_STOP, index);
  }

  #requestForQueue(request: number, index: number): void {
    this.#words[DeviceWord.REQUEST_VALUE] = index;
    this.#request(request);
  }

  /** A doorbell that no ioeventfd took. */
  notify(index: number): void {
    if (index < this.#words[DeviceWord.QUEUE_COUNT]!) this.#hooks.notify(index);
  }

  /** §2.4: the status reads 0 only after the device let go of the queues. */
  #reset(): void {
    if (this.#words[DeviceWord.ACTIVE] === 1) this.#request(Request.RESET);
    this.#state.clear();
  }

  /**
   * Sets a word of the selected queue, if there is such a queue. That takes no
   * lock: the device reads each word once, when the queue is switched on.
   */
  setQueueRegister(word: number, value: number): void {
    const select = this.#words[DeviceWord.QUEUE_SEL]! >>> 0;
    if (select >= this.#words[DeviceWord.QUEUE_COUNT]!) return;
    this.#words[queueWord(select, word)] = value;
  }

  /** `size` bytes of the configuration space; zeros behind its end. */
  readConfig(offset: number, size: number): number {
    const { config } = this.#state;
    const length = this.#words[DeviceWord.CONFIG_SIZE]!;
    let value = 0;
    for (let i = 0; i < size && offset + i < length; i++) {
      value |= config[offset + i]! << (8 * i);
    }
    return value >>> 0;
  }

  /** Passes a write to the configuration space on to the device. */
  writeConfig(offset: number, size: number, value: number): void {
    if (offset + size > this.#words[DeviceWord.CONFIG_SIZE]!) return;
    if (!this.#lock()) return;
    this.#words[DeviceWord.REQUEST_OFFSET] = offset;
    this.#words[DeviceWord.REQUEST_SIZE] = size;
    this.#words[DeviceWord.REQUEST_VALUE] = value;
    this.#request(Request.CONFIG_WRITE);
    this.#unlock();
  }

  /** Waits for the device worker: the guest was quicker than its start. */
  awaitDevice(): void {
    const words = this.#words;
    while (Atomics.load(words, DeviceWord.DEVICE_ID) === 0) {
      if (this.#hooks.stopping()) return;
      Atomics.wait(words, DeviceWord.DEVICE_ID, 0, 50);
    }
  }

  /** Asks the device worker and waits until it has done so. */
  #request(request: number): void {
    const words = this.#words;
    Atomics.store(words, DeviceWord.REQUEST, request);
    this.#hooks.requestReady();
    while (Atomics.load(words, DeviceWord.REQUEST) === request) {
      if (this.#hooks.stopping()) return;
      Atomics.wait(words, DeviceWord.REQUEST, request, 50);
    }
  }

  /** One vCPU at a time; false when the machine ends meanwhile. */
  #lock(): boolean {
    const words = this.#words;
    while (Atomics.compareExchange(words, DeviceWord.LOCK, 0, 1) !== 0) {
      if (this.#hooks.stopping()) return false;
      Atomics.wait(words, DeviceWord.LOCK, 1, 50);
    }
    return true;
  }

  #unlock(): void {
    Atomics.store(this.#words, DeviceWord.LOCK, 0);
    Atomics.notify(this.#words, DeviceWord.LOCK, 1);
  }
}
