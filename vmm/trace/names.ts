/**
 * What stands at an address: a device, and which of its registers.
 *
 * @module
 */
import { MmioRegister } from "../../devices/virtio/transport/mmio.ts";
import {
  BarLayout,
  PciFunctionState,
} from "../../devices/virtio/transport/pci_layout.ts";
import { PciRegister } from "../../devices/pci/function.ts";
import { Layout, Port } from "../../guest/layout.ts";
import type { DeviceSpec } from "../messages.ts";

/** A register of a device. */
export interface RegisterName {
  /** The device. */
  device: string;
  /** The register; undefined: the device has one. */
  register?: string;
}

const MMIO = namesOf(MmioRegister);
const BAR = Object.entries(BarLayout).filter(([name]) => name !== "SIZE");

/** virtio 1.2 §4.1.4.3, `struct virtio_pci_common_cfg`. */
const COMMON = new Map([
  [0x00, "device_feature_select"],
  [0x04, "device_feature"],
  [0x08, "driver_feature_select"],
  [0x0c, "driver_feature"],
  [0x10, "config_msix_vector"],
  [0x12, "num_queues"],
  [0x14, "device_status"],
  [0x15, "config_generation"],
  [0x16, "queue_select"],
  [0x18, "queue_size"],
  [0x1a, "queue_msix_vector"],
  [0x1c, "queue_enable"],
  [0x1e, "queue_notify_off"],
  [0x20, "queue_desc"],
  [0x28, "queue_driver"],
  [0x30, "queue_device"],
  [0x3a, "queue_reset"],
]);

/** The 16550A's, by whether they are read or written (its data sheet). */
const SERIAL = [
  ...[["RBR", "THR"], ["IER", "IER"], ["IIR", "FCR"], ["LCR", "LCR"]],
  ...[["MCR", "MCR"], ["LSR", "LSR"], ["MSR", "MSR"], ["SCR", "SCR"]],
];

const PORTS: readonly [first: number, count: number, name: string][] = [
  [Port.RTC, 2, "rtc"],
  [Port.I8042_DATA, 1, "i8042 data"],
  [Port.I8042_COMMAND, 1, "i8042 command"],
  [Port.SLEEP, 2, "sleep"],
  [Port.RESET, 1, "reset"],
  [Port.PCI_CONFIG, 8, "pci configuration"],
  [Port.ORDERS, 4, "orders"],
];

/** Of a port. */
export function portName(
  port: number,
  write: boolean,
): RegisterName | undefined {
  const serial = SERIAL[port - Port.COM1];
  if (serial) return { device: "serial", register: serial[write ? 1 : 0]! };
  const found = PORTS.find(([first, count]) =>
    port >= first && port < first + count
  );
  return found && { device: found[2] };
}

/** Of a guest address, among these devices. */
export function addressName(
  devices: readonly DeviceSpec[],
  address: number,
): RegisterName | undefined {
  if (address >= Layout.BOOT_TIMER && address < Layout.BOOT_TIMER + 0x1000) {
    return { device: "boot timer" };
  }
  for (const { name, window, pci } of devices) {
    if (pci === undefined) {
      const offset = address - window;
      if (offset < 0 || offset >= Layout.VIRTIO_MMIO_SIZE) continue;
      const register = offset >= MmioRegister.Config
        ? `Config+${offset - MmioRegister.Config}`
        : MMIO.get(offset) ?? `+0x${offset.toString(16)}`;
      return { device: name, register };
    }
    const { config } = new PciFunctionState(pci);
    const base = config.get(PciRegister.BAR0, 4) >>> 4 << 4 >>> 0;
    const offset = address - base;
    if (offset < 0 || offset >= BarLayout.SIZE) continue;
    return { device: name, register: barName(offset) };
  }
  return undefined;
}

function barName(offset: number): string {
  if (offset < BarLayout.ISR) {
    return COMMON.get(offset) ?? `common+0x${offset.toString(16)}`;
  }
  const [name, first] = BAR.findLast(([, first]) => offset >= first)!;
  return `${name.toLowerCase()}+0x${(offset - first).toString(16)}`;
}

function namesOf(table: Record<string, number>): Map<number, string> {
  return new Map(Object.entries(table).map(([name, value]) => [value, name]));
}
