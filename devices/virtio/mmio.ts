/**
 * Virtio over MMIO, version 2 (virtio 1.2 §4.2), the vCPU's side: every
 * register access is answered in the thread that made it, from the device's
 * shared page. Only activation, reset and configuration writes reach the
 * device worker.
 *
 * @module
 */
import {
  DeviceState,
  QueueWord,
  queueWord,
  Request,
  Word,
} from "./device_state.ts";
import { Feature, Status } from "./spec.ts";

/** Register offsets (§4.2.2, table 4.1). */
export const MmioRegister = {
  MagicValue: 0x000,
  Version: 0x004,
  DeviceID: 0x008,
  VendorID: 0x00c,
  DeviceFeatures: 0x010,
  DeviceFeaturesSel: 0x014,
  DriverFeatures: 0x020,
  DriverFeaturesSel: 0x024,
  QueueSel: 0x030,
  QueueNumMax: 0x034,
  QueueNum: 0x038,
  QueueReady: 0x044,
  QueueNotify: 0x050,
  InterruptStatus: 0x060,
  InterruptACK: 0x064,
  Status: 0x070,
  QueueDescLow: 0x080,
  QueueDescHigh: 0x084,
  QueueDriverLow: 0x090,
  QueueDriverHigh: 0x094,
  QueueDeviceLow: 0x0a0,
  QueueDeviceHigh: 0x0a4,
  SHMSel: 0x0ac,
  SHMLenLow: 0x0b0,
  SHMLenHigh: 0x0b4,
  SHMBaseLow: 0x0b8,
  SHMBaseHigh: 0x0bc,
  QueueReset: 0x0c0,
  ConfigGeneration: 0x0fc,
  Config: 0x100,
} as const;

const MAGIC = 0x74726976; // "virt"
const VERSION = 2;
const VENDOR = 0x6f657256; // "Vreo"
const NO_SHARED_MEMORY = 0xffff_ffff;

/** What the transport needs from the thread it runs on. */
export interface TransportHooks {
  /** Wakes the device worker: {@linkcode Word.REQUEST} is set. */
  requestReady(): void;
  /** Queue `index`'s doorbell, where no ioeventfd takes the write. */
  notify(index: number): void;
  /** True when the machine ends: nobody answers requests any more. */
  stopping(): boolean;
}

/** One virtio-mmio window. Hot path: it allocates nothing. */
export class MmioTransport {
  readonly #state: DeviceState;
  readonly #words: Int32Array;
  readonly #hooks: TransportHooks;

  /** A window over the device's shared page. */
  constructor(state: DeviceState, hooks: TransportHooks) {
    this.#state = state;
    this.#words = state.words;
    this.#hooks = hooks;
  }

  /** A guest read of `size` bytes at `offset` in the window. */
  read(offset: number, size: number): number {
    if (this.#words[Word.DEVICE_ID] === 0) this.#awaitDevice();
    if (offset >= MmioRegister.Config) {
      return this.#readConfig(offset - MmioRegister.Config, size);
    }
    // §4.2.2.2: only 32-bit aligned accesses to the registers are valid.
    if (size !== 4 || (offset & 3) !== 0) return 0;
    return this.#readRegister(offset);
  }

  /** A guest write. */
  write(offset: number, size: number, value: number): void {
    if (this.#words[Word.DEVICE_ID] === 0) this.#awaitDevice();
    if (offset >= MmioRegister.Config) {
      this.#writeConfig(offset - MmioRegister.Config, size, value);
    } else if (size === 4 && (offset & 3) === 0) {
      this.#writeRegister(offset, value);
    }
  }

  #readRegister(offset: number): number {
    const words = this.#words;
    switch (offset) {
      case MmioRegister.InterruptStatus:
        return Atomics.load(words, Word.INTERRUPT_STATUS);
      case MmioRegister.Status:
        return Atomics.load(words, Word.STATUS);
      case MmioRegister.MagicValue:
        return MAGIC;
      case MmioRegister.Version:
        return VERSION;
      case MmioRegister.DeviceID:
        return words[Word.DEVICE_ID]!;
      case MmioRegister.VendorID:
        return VENDOR;
      case MmioRegister.DeviceFeatures: {
        const select = words[Word.DEVICE_FEATURES_SEL]! >>> 0;
        return select < 2 ? words[Word.DEVICE_FEATURES + select]! >>> 0 : 0;
      }
      case MmioRegister.QueueNumMax:
        return this.#queueRegister(QueueWord.MAX_SIZE);
      case MmioRegister.QueueReady:
        return this.#queueRegister(QueueWord.READY);
      case MmioRegister.ConfigGeneration:
        return Atomics.load(words, Word.CONFIG_GENERATION) >>> 0;
      case MmioRegister.SHMLenLow:
      case MmioRegister.SHMLenHigh:
      case MmioRegister.SHMBaseLow:
      case MmioRegister.SHMBaseHigh:
        return NO_SHARED_MEMORY;
      default:
        return 0; // write-only and reserved registers
    }
  }

  #writeRegister(offset: number, value: number): void {
    const words = this.#words;
    switch (offset) {
      case MmioRegister.InterruptACK:
        Atomics.and(words, Word.INTERRUPT_STATUS, ~value);
        return;
      case MmioRegister.QueueNotify:
        this.#notify(value);
        return;
      case MmioRegister.Status:
        this.#writeStatus(value & 0xff);
        return;
      case MmioRegister.DeviceFeaturesSel:
        words[Word.DEVICE_FEATURES_SEL] = value;
        return;
      case MmioRegister.DriverFeaturesSel:
        words[Word.DRIVER_FEATURES_SEL] = value;
        return;
      case MmioRegister.DriverFeatures:
        this.#writeDriverFeatures(value);
        return;
      case MmioRegister.QueueSel:
        words[Word.QUEUE_SEL] = value;
        return;
      case MmioRegister.QueueNum:
        this.#setQueueRegister(QueueWord.SIZE, value);
        return;
      case MmioRegister.QueueReady:
        this.#writeQueueReady(value & 1);
        return;
      case MmioRegister.QueueReset:
        if (value === 1) this.#writeQueueReset();
        return;
      case MmioRegister.QueueDescLow:
        this.#setQueueRegister(QueueWord.DESC, value);
        return;
      case MmioRegister.QueueDescHigh:
        this.#setQueueRegister(QueueWord.DESC + 1, value);
        return;
      case MmioRegister.QueueDriverLow:
        this.#setQueueRegister(QueueWord.DRIVER, value);
        return;
      case MmioRegister.QueueDriverHigh:
        this.#setQueueRegister(QueueWord.DRIVER + 1, value);
        return;
      case MmioRegister.QueueDeviceLow:
        this.#setQueueRegister(QueueWord.DEVICE, value);
        return;
      case MmioRegister.QueueDeviceHigh:
        this.#setQueueRegister(QueueWord.DEVICE + 1, value);
        return;
    }
  }

  /** §3.1.1: the driver's steps; bits are only added, 0 resets. */
  #writeStatus(value: number): void {
    if (!this.#lock()) return;
    const words = this.#words;
    const current = Atomics.load(words, Word.STATUS);
    if (value === 0) {
      this.#reset();
    } else if ((current & ~Status.DEVICE_NEEDS_RESET & ~value) === 0) {
      const refused = this.#refusedBits(current, value);
      Atomics.or(words, Word.STATUS, value & ~refused & 0x8f);
      const now = Atomics.load(words, Word.STATUS);
      if (now & ~current & Status.DRIVER_OK) {
        words[Word.ACTIVE] = 1;
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
    const low = words[Word.DRIVER_FEATURES]! & ~words[Word.DEVICE_FEATURES]!;
    const high = words[Word.DRIVER_FEATURES + 1]! &
      ~words[Word.DEVICE_FEATURES + 1]!;
    return low === 0 && high === 0 &&
      this.#state.hasFeature(Feature.VERSION_1);
  }

  #writeDriverFeatures(value: number): void {
    const words = this.#words;
    // §3.1.1: features are fixed once FEATURES_OK is set.
    if (Atomics.load(words, Word.STATUS) & Status.FEATURES_OK) return;
    const select = words[Word.DRIVER_FEATURES_SEL]! >>> 0;
    if (select < 2) words[Word.DRIVER_FEATURES + select] = value;
  }

  /** §4.2.2.2: 0 stops the queue, and a driver may read back to wait. */
  #writeQueueReady(ready: number): void {
    const select = this.#words[Word.QUEUE_SEL]! >>> 0;
    if (select >= this.#words[Word.QUEUE_COUNT]!) return;
    const at = queueWord(select, QueueWord.READY);
    const before = this.#words[at];
    if (this.#words[Word.ACTIVE] === 0) {
      this.#words[at] = ready;
    } else if (ready === 0) {
      this.#requestForQueue(Request.QUEUE_STOP, select, 0);
    } else if (before === 0 && this.#state.hasFeature(Feature.RING_RESET)) {
      this.#requestForQueue(Request.QUEUE_START, select, 1); // §2.6.1.2
    }
  }

  /** §2.6.1.1: done when the write returns, so QueueReset always reads 0. */
  #writeQueueReset(): void {
    const select = this.#words[Word.QUEUE_SEL]! >>> 0;
    if (select >= this.#words[Word.QUEUE_COUNT]!) return;
    if (!this.#state.hasFeature(Feature.RING_RESET)) return;
    this.#requestForQueue(Request.QUEUE_STOP, select, 0);
    this.#state.clearQueue(select);
  }

  #requestForQueue(request: number, index: number, ready: number): void {
    if (!this.#lock()) return;
    this.#words[queueWord(index, QueueWord.READY)] = ready;
    if (this.#words[Word.ACTIVE] === 1) {
      this.#words[Word.REQUEST_VALUE] = index;
      this.#request(request);
    }
    this.#unlock();
  }

  #notify(value: number): void {
    const index = value >>> 0;
    if (index < this.#words[Word.QUEUE_COUNT]!) this.#hooks.notify(index);
  }

  /** §2.4: the status reads 0 only after the device let go of the queues. */
  #reset(): void {
    if (this.#words[Word.ACTIVE] === 1) this.#request(Request.RESET);
    this.#state.clear();
  }

  #queueRegister(word: number): number {
    const select = this.#words[Word.QUEUE_SEL]! >>> 0;
    if (select >= this.#words[Word.QUEUE_COUNT]!) return 0;
    return this.#words[queueWord(select, word)]! >>> 0;
  }

  #setQueueRegister(word: number, value: number): void {
    const select = this.#words[Word.QUEUE_SEL]! >>> 0;
    if (select >= this.#words[Word.QUEUE_COUNT]!) return;
    this.#words[queueWord(select, word)] = value;
  }

  #readConfig(offset: number, size: number): number {
    const { config } = this.#state;
    const length = this.#words[Word.CONFIG_SIZE]!;
    let value = 0;
    for (let i = 0; i < size && offset + i < length; i++) {
      value |= config[offset + i]! << (8 * i);
    }
    return value >>> 0;
  }

  #writeConfig(offset: number, size: number, value: number): void {
    if (offset + size > this.#words[Word.CONFIG_SIZE]!) return;
    if (!this.#lock()) return;
    this.#words[Word.REQUEST_OFFSET] = offset;
    this.#words[Word.REQUEST_SIZE] = size;
    this.#words[Word.REQUEST_VALUE] = value;
    this.#request(Request.CONFIG_WRITE);
    this.#unlock();
  }

  /** The guest was quicker than the device worker's start. */
  #awaitDevice(): void {
    const words = this.#words;
    while (Atomics.load(words, Word.DEVICE_ID) === 0) {
      if (this.#hooks.stopping()) return;
      Atomics.wait(words, Word.DEVICE_ID, 0, 50);
    }
  }

  /** Asks the device worker and waits until it has done so. */
  #request(request: number): void {
    const words = this.#words;
    Atomics.store(words, Word.REQUEST, request);
    this.#hooks.requestReady();
    while (Atomics.load(words, Word.REQUEST) === request) {
      if (this.#hooks.stopping()) return;
      Atomics.wait(words, Word.REQUEST, request, 50);
    }
  }

  /** One vCPU at a time; false when the machine ends meanwhile. */
  #lock(): boolean {
    const words = this.#words;
    while (Atomics.compareExchange(words, Word.LOCK, 0, 1) !== 0) {
      if (this.#hooks.stopping()) return false;
      Atomics.wait(words, Word.LOCK, 1, 50);
    }
    return true;
  }

  #unlock(): void {
    Atomics.store(this.#words, Word.LOCK, 0);
    Atomics.notify(this.#words, Word.LOCK, 1);
  }
}
