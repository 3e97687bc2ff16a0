/**
 * A driver's accesses to a PCI function, asked for as if it were on
 * virtio-mmio: so that a test of a device runs over both transports.
 *
 * @module
 */
import { PciRegister } from "../../pci/function.ts";
import { MmioRegister } from "../transport/mmio.ts";
import { CommonCfg, type VirtioPciFunction } from "../transport/pci.ts";
import { BarLayout, NOTIFY_OFF_MULTIPLIER } from "../transport/pci_layout.ts";

const MAGIC = 0x74726976;
const PCI_DEVICE_BASE = 0x1040;

/** Fields of the common structure that stand for a register, with widths. */
const FIELDS: Record<number, [offset: number, size: number]> = {
  [MmioRegister.DeviceFeatures]: [CommonCfg.device_feature, 4],
  [MmioRegister.DeviceFeaturesSel]: [CommonCfg.device_feature_select, 4],
  [MmioRegister.DriverFeatures]: [CommonCfg.driver_feature, 4],
  [MmioRegister.DriverFeaturesSel]: [CommonCfg.driver_feature_select, 4],
  [MmioRegister.QueueSel]: [CommonCfg.queue_select, 2],
  [MmioRegister.QueueNumMax]: [CommonCfg.queue_size, 2],
  [MmioRegister.QueueNum]: [CommonCfg.queue_size, 2],
  [MmioRegister.QueueReady]: [CommonCfg.queue_enable, 2],
  [MmioRegister.Status]: [CommonCfg.device_status, 1],
  [MmioRegister.QueueDescLow]: [CommonCfg.queue_desc, 4],
  [MmioRegister.QueueDescHigh]: [CommonCfg.queue_desc + 4, 4],
  [MmioRegister.QueueDriverLow]: [CommonCfg.queue_driver, 4],
  [MmioRegister.QueueDriverHigh]: [CommonCfg.queue_driver + 4, 4],
  [MmioRegister.QueueDeviceLow]: [CommonCfg.queue_device, 4],
  [MmioRegister.QueueDeviceHigh]: [CommonCfg.queue_device + 4, 4],
  [MmioRegister.QueueReset]: [CommonCfg.queue_reset, 2],
  [MmioRegister.ConfigGeneration]: [CommonCfg.config_generation, 1],
};

/** Registers of virtio-mmio, on a PCI function. */
export class PciAsMmio {
  readonly #function: VirtioPciFunction;

  /** Accesses to `device`. */
  constructor(device: VirtioPciFunction) {
    this.#function = device;
  }

  /** Reads what the register stands for. */
  read(register: number, size: number): number {
    const device = this.#function;
    if (register >= MmioRegister.Config) {
      const offset = register - MmioRegister.Config;
      return device.read(BarLayout.DEVICE + offset, size);
    }
    switch (register) {
      case MmioRegister.MagicValue:
        return MAGIC;
      case MmioRegister.Version:
        return 2;
      case MmioRegister.DeviceID:
        return device.readConfig(PciRegister.DEVICE_ID, 2) - PCI_DEVICE_BASE;
      case MmioRegister.InterruptStatus:
        return device.read(BarLayout.ISR, 1); // and acknowledges it
    }
    const field = FIELDS[register];
    return field ? device.read(BarLayout.COMMON + field[0], field[1]) : 0;
  }

  /** Writes to what the register stands for. */
  write(register: number, size: number, value: number): void {
    const device = this.#function;
    if (register >= MmioRegister.Config) {
      const offset = register - MmioRegister.Config;
      return device.write(BarLayout.DEVICE + offset, size, value);
    }
    if (register === MmioRegister.QueueNotify) {
      const doorbell = value * NOTIFY_OFF_MULTIPLIER;
      return device.write(BarLayout.NOTIFY + doorbell, 2, value);
    }
    const field = FIELDS[register];
    if (field) device.write(BarLayout.COMMON + field[0], field[1], value);
  }
}
