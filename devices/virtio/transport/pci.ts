/**
 * Virtio over PCI (virtio 1.2 §4.1), the vCPU's side: one function with its
 * configuration space and BAR 0.
 *
 * @module
 */
import {
  type PciFunction,
  PciRegister,
  PciStatus,
} from "../../pci/function.ts";
import {
  type DeviceState,
  DeviceWord,
  QueueWord,
  queueWord,
} from "./device_state.ts";
import { DriverRegisters, type TransportHooks } from "./driver_registers.ts";
import {
  BarLayout,
  Capability,
  NOTIFY_OFF_MULTIPLIER,
  type PciFunctionState,
} from "./pci_layout.ts";

/** Offsets in `struct virtio_pci_common_cfg` (§4.1.4.3). */
export const CommonCfg = {
  device_feature_select: 0x00,
  device_feature: 0x04,
  driver_feature_select: 0x08,
  driver_feature: 0x0c,
  config_msix_vector: 0x10,
  num_queues: 0x12,
  device_status: 0x14,
  config_generation: 0x15,
  queue_select: 0x16,
  queue_size: 0x18,
  queue_msix_vector: 0x1a,
  queue_enable: 0x1c,
  queue_notify_off: 0x1e,
  queue_desc: 0x20,
  queue_driver: 0x28,
  queue_device: 0x30,
  queue_reset: 0x3a,
} as const;

/** `VIRTIO_MSI_NO_VECTOR` (§4.1.5.1.2). */
export const NO_VECTOR = 0xffff;

const PAGE = 0x1000;

/** What a function needs besides. */
export interface PciHooks extends TransportHooks {
  /** Lowers (or raises again) the function's INTx line. */
  interruptLine(level: boolean): void;
}

/** One virtio function. Register accesses allocate nothing. */
export class VirtioPciFunction implements PciFunction {
  readonly memorySize: number = BarLayout.SIZE;
  readonly #state: DeviceState;
  readonly #words: Int32Array;
  readonly #pci: PciFunctionState;
  readonly #hooks: PciHooks;
  readonly #registers: DriverRegisters;

  /** A function over the device's shared page and its own. */
  constructor(state: DeviceState, pci: PciFunctionState, hooks: PciHooks) {
    this.#state = state;
    this.#words = state.words;
    this.#pci = pci;
    this.#hooks = hooks;
    this.#registers = new DriverRegisters(state, hooks);
  }

  /** As the BAR says; -1 while the driver has memory decoding off. */
  get memoryBase(): number {
    return this.#pci.memoryBase;
  }

  readConfig(offset: number, size: number): number {
    if (this.#words[DeviceWord.DEVICE_ID] === 0) this.#registers.awaitDevice();
    if (offset === Capability.PCI_CFG_DATA) {
      const window = this.#window();
      return window < 0 ? 0 : this.read(window >> 3, window & 7);
    }
    const value = this.#pci.config.get(offset, size);
    const status = PciRegister.STATUS - offset;
    return status >= 0 && status < size && this.#interruptPending
      ? (value | PciStatus.INTERRUPT << 8 * status) >>> 0
      : value;
  }

  writeConfig(offset: number, size: number, value: number): void {
    if (this.#words[DeviceWord.DEVICE_ID] === 0) this.#registers.awaitDevice();
    if (offset === Capability.PCI_CFG_DATA) {
      const window = this.#window();
      if (window >= 0) this.write(window >> 3, window & 7, value);
      return;
    }
    const { config } = this.#pci;
    const base = this.#pci.memoryBase;
    const command = config.get(PciRegister.COMMAND, 2);
    const control = this.#pci.msixControl;
    config.write(offset, size, value);
    if (
      base !== this.#pci.memoryBase || control !== this.#pci.msixControl ||
      command !== config.get(PciRegister.COMMAND, 2)
    ) {
      this.#registers.transportChanged();
    }
  }

  read(offset: number, size: number): number {
    const within = offset & (PAGE - 1);
    switch (offset - within) {
      case BarLayout.COMMON:
        return this.#readCommon(within, size);
      case BarLayout.ISR:
        return within === 0 ? this.#readIsr() : 0;
      case BarLayout.DEVICE:
        return this.#registers.readConfig(within, size);
      case BarLayout.MSIX_TABLE:
        return this.#pci.msix.read(within, size);
      case BarLayout.MSIX_PENDING:
        return this.#pci.msix.readPending(within, size);
      default:
        return 0;
    }
  }

  write(offset: number, size: number, value: number): void {
    const within = offset & (PAGE - 1);
    switch (offset - within) {
      case BarLayout.COMMON:
        return this.#writeCommon(within, size, value);
      case BarLayout.DEVICE:
        return this.#registers.writeConfig(within, size, value);
      case BarLayout.NOTIFY:
        if (within % NOTIFY_OFF_MULTIPLIER === 0) {
          this.#registers.notify(within / NOTIFY_OFF_MULTIPLIER);
        }
        return;
      case BarLayout.MSIX_TABLE:
        if (this.#pci.msix.write(within, size, value)) {
          this.#registers.transportChanged();
        }
    }
  }

  /**
   * §4.1.4.5: reading acknowledges, and takes the INTx line down. A bit that
   * comes between the two raises it again.
   */
  #readIsr(): number {
    const status = Atomics.exchange(
      this.#words,
      DeviceWord.INTERRUPT_STATUS,
      0,
    );
    this.#hooks.interruptLine(false);
    if (this.#interruptPending && this.#pci.intxAllowed) {
      this.#hooks.interruptLine(true);
    }
    return status;
  }

  /** PCI §6.2.3: so in the status register, also while INTx is disabled. */
  get #interruptPending(): boolean {
    const status = Atomics.load(this.#words, DeviceWord.INTERRUPT_STATUS);
    return status !== 0 && !this.#pci.msixEnabled;
  }

  /** A doorbell's write has come here: no ioeventfd has taken it. */
  doorbellMissing(): void {
    this.#registers.transportChanged();
  }

  /** §4.1.3.1: accesses have the field's width. */
  #readCommon(offset: number, size: number): number {
    const words = this.#words;
    switch (offset + (size << 8)) {
      case CommonCfg.device_feature_select + 0x400:
        return words[DeviceWord.DEVICE_FEATURES_SEL]! >>> 0;
      case CommonCfg.device_feature + 0x400:
        return this.#state.half(
          DeviceWord.DEVICE_FEATURES,
          DeviceWord.DEVICE_FEATURES_SEL,
        );
      case CommonCfg.driver_feature_select + 0x400:
        return words[DeviceWord.DRIVER_FEATURES_SEL]! >>> 0;
      case CommonCfg.driver_feature + 0x400:
        return this.#state.half(
          DeviceWord.DRIVER_FEATURES,
          DeviceWord.DRIVER_FEATURES_SEL,
        );
      case CommonCfg.config_msix_vector + 0x200:
        return (words[DeviceWord.CONFIG_VECTOR]! - 1) & 0xffff;
      case CommonCfg.num_queues + 0x200:
        return words[DeviceWord.QUEUE_COUNT]!;
      case CommonCfg.device_status + 0x100:
        return Atomics.load(words, DeviceWord.STATUS);
      case CommonCfg.config_generation + 0x100:
        return Atomics.load(words, DeviceWord.CONFIG_GENERATION) & 0xff;
      case CommonCfg.queue_select + 0x200:
        return words[DeviceWord.QUEUE_SEL]! & 0xffff;
      case CommonCfg.queue_size + 0x200:
        return this.#queueRegister(QueueWord.SIZE) ||
          this.#queueRegister(QueueWord.MAX_SIZE);
      case CommonCfg.queue_msix_vector + 0x200:
        return (this.#queueRegister(QueueWord.VECTOR) - 1) & 0xffff;
      case CommonCfg.queue_enable + 0x200:
        return this.#queueRegister(QueueWord.READY);
      case CommonCfg.queue_notify_off + 0x200:
        return words[DeviceWord.QUEUE_SEL]! & 0xffff;
      case CommonCfg.queue_desc + 0x400:
      case CommonCfg.queue_desc + 4 + 0x400:
      case CommonCfg.queue_driver + 0x400:
      case CommonCfg.queue_driver + 4 + 0x400:
      case CommonCfg.queue_device + 0x400:
      case CommonCfg.queue_device + 4 + 0x400:
        return this.#queueRegister(addressWord(offset));
      default:
        return 0; // queue_reset: a reset is over when its write returns
    }
  }

  /** A word of the selected queue, one of {@linkcode QueueWord}. */
  #queueRegister(word: number): number {
    const select = this.#words[DeviceWord.QUEUE_SEL]! >>> 0;
    if (select >= this.#words[DeviceWord.QUEUE_COUNT]!) return 0;
    return this.#words[queueWord(select, word)]! >>> 0;
  }

  #writeCommon(offset: number, size: number, value: number): void {
    const words = this.#words;
    const registers = this.#registers;
    switch (offset + (size << 8)) {
      case CommonCfg.device_feature_select + 0x400:
        words[DeviceWord.DEVICE_FEATURES_SEL] = value;
        return;
      case CommonCfg.driver_feature_select + 0x400:
        words[DeviceWord.DRIVER_FEATURES_SEL] = value;
        return;
      case CommonCfg.driver_feature + 0x400:
        return registers.writeDriverFeatures(value);
      case CommonCfg.config_msix_vector + 0x200:
        words[DeviceWord.CONFIG_VECTOR] = this.#vector(value);
        return;
      case CommonCfg.device_status + 0x100:
        registers.writeStatus(value);
        // After a reset there is nothing left to tell by it.
        if (value === 0) this.#hooks.interruptLine(false);
        return;
      case CommonCfg.queue_select + 0x200:
        words[DeviceWord.QUEUE_SEL] = value;
        return;
      case CommonCfg.queue_size + 0x200:
        return registers.setQueueRegister(QueueWord.SIZE, value);
      case CommonCfg.queue_msix_vector + 0x200:
        return registers.setQueueRegister(
          QueueWord.VECTOR,
          this.#vector(value),
        );
      case CommonCfg.queue_enable + 0x200:
        if (value === 1) this.#enableQueue(); // 0 is not for drivers
        return;
      case CommonCfg.queue_desc + 0x400:
      case CommonCfg.queue_desc + 4 + 0x400:
      case CommonCfg.queue_driver + 0x400:
      case CommonCfg.queue_driver + 4 + 0x400:
      case CommonCfg.queue_device + 0x400:
      case CommonCfg.queue_device + 4 + 0x400:
        return registers.setQueueRegister(addressWord(offset), value);
      case CommonCfg.queue_reset + 0x200:
        if (value === 1) registers.writeQueueReset();
    }
  }

  /** §4.1.5.1.3: a driver that is content with the size need not write it. */
  #enableQueue(): void {
    const registers = this.#registers;
    if (this.#queueRegister(QueueWord.SIZE) === 0) {
      const size = this.#queueRegister(QueueWord.MAX_SIZE);
      registers.setQueueRegister(QueueWord.SIZE, size);
    }
    registers.writeQueueReady(1);
  }

  /** §4.1.5.1.2: a vector that isn't there reads back as none. */
  #vector(value: number): number {
    return value <= this.#words[DeviceWord.QUEUE_COUNT]! ? value + 1 : 0;
  }

  /**
   * §4.1.4.9: what the window leads to, 8 * offset + length; -1 when it is set
   * badly. Each field is read once: another vCPU may be writing it.
   */
  #window(): number {
    const { config } = this.#pci;
    const length = config.get(Capability.PCI_CFG_LENGTH, 4);
    const offset = config.get(Capability.PCI_CFG_OFFSET, 4);
    const valid = length === 1 || length === 2 || length === 4;
    return valid && config.get(Capability.PCI_CFG_BAR, 1) === 0 &&
        offset % length === 0 && offset + length <= BarLayout.SIZE
      ? 8 * offset + length
      : -1;
  }
}

/** The word of one half of queue_desc, queue_driver or queue_device. */
function addressWord(offset: number): number {
  return QueueWord.DESC + (offset - CommonCfg.queue_desc) / 4;
}

/** The vector that interrupts of queue `source` have, or -1: none. */
export function vectorOf(state: DeviceState, source: number): number {
  const { words } = state;
  const at = source < 0
    ? DeviceWord.CONFIG_VECTOR
    : queueWord(source, QueueWord.VECTOR);
  return words[at]! - 1;
}
