/**
 * Virtio over MMIO, version 2 (virtio 1.2 §4.2), the vCPU's side.
 *
 * @module
 */
import type { BusDevice } from "../../bus.ts";
import { type DeviceState, DeviceWord, QueueWord } from "./device_state.ts";
import { DriverRegisters, type TransportHooks } from "./driver_registers.ts";

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

/** Registers of the selected queue that are nothing but its words. */
const QUEUE_WORDS = new Map<number, number>([
  [MmioRegister.QueueNum, QueueWord.SIZE],
  [MmioRegister.QueueDescLow, QueueWord.DESC],
  [MmioRegister.QueueDescHigh, QueueWord.DESC + 1],
  [MmioRegister.QueueDriverLow, QueueWord.DRIVER],
  [MmioRegister.QueueDriverHigh, QueueWord.DRIVER + 1],
  [MmioRegister.QueueDeviceLow, QueueWord.DEVICE],
  [MmioRegister.QueueDeviceHigh, QueueWord.DEVICE + 1],
]);

/** One virtio-mmio window. Hot path: it allocates nothing. */
export class MmioTransport implements BusDevice {
  readonly #state: DeviceState;
  readonly #words: Int32Array;
  readonly #registers: DriverRegisters;

  /** A window over the device's shared page. */
  constructor(state: DeviceState, hooks: TransportHooks) {
    this.#state = state;
    this.#words = state.words;
    this.#registers = new DriverRegisters(state, hooks);
  }

  /**
   * A guest read of `size` bytes at `offset` in the window: what the page has,
   * where the guest has not got it as memory.
   */
  read(offset: number, size: number): number {
    if (this.#words[DeviceWord.DEVICE_ID] === 0) this.#registers.awaitDevice();
    if (offset >= MmioRegister.Config) {
      return this.#registers.readConfig(offset - MmioRegister.Config, size);
    }
    // §4.2.2.2: only 32-bit aligned accesses to the registers are valid.
    if (size !== 4 || (offset & 3) !== 0) return 0;
    return Atomics.load(this.#words, offset >> 2) >>> 0;
  }

  /** A guest write. */
  write(offset: number, size: number, value: number): void {
    if (this.#words[DeviceWord.DEVICE_ID] === 0) this.#registers.awaitDevice();
    if (offset >= MmioRegister.Config) {
      this.#registers.writeConfig(offset - MmioRegister.Config, size, value);
    } else if (size === 4 && (offset & 3) === 0) {
      this.#writeRegister(offset, value);
    }
  }

  #writeRegister(offset: number, value: number): void {
    const words = this.#words;
    switch (offset) {
      case MmioRegister.InterruptACK:
        Atomics.and(words, DeviceWord.INTERRUPT_STATUS, ~value);
        return;
      case MmioRegister.QueueNotify:
        this.#registers.notify(value >>> 0);
        return;
      case MmioRegister.Status:
        this.#registers.writeStatus(value & 0xff);
        return;
      case MmioRegister.DeviceFeaturesSel:
        words[DeviceWord.DEVICE_FEATURES_SEL] = value;
        break;
      case MmioRegister.DriverFeaturesSel:
        words[DeviceWord.DRIVER_FEATURES_SEL] = value;
        return;
      case MmioRegister.DriverFeatures:
        this.#registers.writeDriverFeatures(value);
        return;
      case MmioRegister.QueueSel:
        words[DeviceWord.QUEUE_SEL] = value;
        break;
      case MmioRegister.QueueReady:
        this.#registers.writeQueueReady(value & 1);
        break;
      case MmioRegister.QueueReset:
        if (value === 1) this.#registers.writeQueueReset();
        break;
      default: {
        const word = QUEUE_WORDS.get(offset);
        if (word !== undefined) this.#registers.setQueueRegister(word, value);
        return;
      }
    }
    this.#state.select();
  }
}
