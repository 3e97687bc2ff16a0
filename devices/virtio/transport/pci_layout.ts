/**
 * Where a virtio function's structures are (virtio 1.2 §4.1.4): its
 * configuration space, its one BAR, and the shared memory behind both.
 *
 * @module
 */
import {
  CONFIG_SPACE_SIZE,
  ConfigSpace,
  PciCommand,
  PciRegister,
  PciStatus,
} from "../../pci/function.ts";
import { VireoError } from "../../../ffi/error.ts";
import { MsixControl, MsixTable } from "../../pci/msix.ts";
import { MAX_QUEUES } from "../spec.ts";
import { DeviceId } from "../spec.ts";

/** Structures in BAR 0, a page each; `SIZE` is the BAR's. */
export const BarLayout = {
  COMMON: 0x0000,
  ISR: 0x1000,
  DEVICE: 0x2000,
  NOTIFY: 0x3000,
  MSIX_TABLE: 0x4000,
  MSIX_PENDING: 0x5000,
  SIZE: 0x8000,
} as const;

/** Bytes between two queues' doorbells (§4.1.4.4). */
export const NOTIFY_OFF_MULTIPLIER = 4;

/** Bytes of `struct virtio_pci_common_cfg` (§4.1.4.3). */
export const COMMON_SIZE = 0x40;

const PCI_VENDOR = 0x1af4; // §4.1.2
const PCI_DEVICE_BASE = 0x1040;
const REVISION = 1;
const SUBSYSTEM = 0x40;
const INTERRUPT_PIN_A = 1;

/** §4.1.4: `cfg_type`. */
const CfgType = { COMMON: 1, NOTIFY: 2, ISR: 3, DEVICE: 4, PCI: 5 } as const;
const CAP_VENDOR = 0x09;
const CAP_MSIX = 0x11;

/** Offsets of the capabilities in the configuration space. */
export const Capability = {
  MSIX: 0x40,
  MSIX_CONTROL: 0x42,
  COMMON: 0x4c,
  NOTIFY: 0x5c,
  ISR: 0x70,
  DEVICE: 0x80,
  /** §4.1.4.9: a window on the BAR; bar, offset, length and data in it. */
  PCI_CFG: 0x90,
  PCI_CFG_BAR: 0x94,
  PCI_CFG_OFFSET: 0x98,
  PCI_CFG_LENGTH: 0x9c,
  PCI_CFG_DATA: 0xa0,
} as const;

/** Class codes by device id; others are "no class". */
const CLASS: Record<number, number> = {
  [DeviceId.NET]: 0x020000,
  [DeviceId.BLOCK]: 0x010000,
  [DeviceId.CONSOLE]: 0x078000,
  [DeviceId.VSOCK]: 0x028000,
};
const CLASS_NONE = 0xff0000;

/** Vectors of a table that any device fits in: each queue's, and one more. */
const MAX_VECTORS = MAX_QUEUES + 1;

/** One thread's view of a function's shared memory. */
export class PciFunctionState {
  /** The memory, to hand to other threads. */
  readonly shared: SharedArrayBuffer;
  /** The configuration space. */
  readonly config: ConfigSpace;
  /** The MSI-X table. */
  readonly msix: MsixTable;

  /** Views `shared`, or new memory. */
  constructor(
    shared: SharedArrayBuffer = new SharedArrayBuffer(
      CONFIG_SPACE_SIZE + MsixTable.bytes(MAX_VECTORS),
    ),
  ) {
    this.shared = shared;
    this.config = new ConfigSpace(new Uint8Array(shared, 0, CONFIG_SPACE_SIZE));
    this.msix = new MsixTable(shared, CONFIG_SPACE_SIZE, MAX_VECTORS);
    allowWrites(this.config);
  }

  /** Fills the configuration space in; the BAR is at `base`. */
  describe(
    deviceId: number,
    queues: number,
    configSize: number,
    base: number,
    gsi: number,
  ): void {
    const { config } = this;
    config.set(PciRegister.VENDOR_ID, 2, PCI_VENDOR);
    config.set(PciRegister.DEVICE_ID, 2, PCI_DEVICE_BASE + deviceId);
    config.set(PciRegister.COMMAND, 2, PciCommand.MEMORY);
    config.set(PciRegister.STATUS, 2, PciStatus.CAPABILITIES);
    config.set(PciRegister.REVISION_ID, 1, REVISION);
    config.set(PciRegister.CLASS_CODE, 3, CLASS[deviceId] ?? CLASS_NONE);
    config.set(PciRegister.BAR0, 4, base);
    config.set(PciRegister.SUBSYSTEM_VENDOR_ID, 2, PCI_VENDOR);
    config.set(PciRegister.SUBSYSTEM_ID, 2, SUBSYSTEM);
    config.set(PciRegister.CAPABILITIES, 1, Capability.MSIX);
    config.set(PciRegister.INTERRUPT_LINE, 1, gsi);
    config.set(PciRegister.INTERRUPT_PIN, 1, INTERRUPT_PIN_A);
    describeMsix(config, queues + 1);
    describeStructures(config, queues, configSize);
    this.msix.clear();
  }

  /**
   * What a driver has written is as it was saved; all else stays as described.
   *
   * @param saved bytes of {@linkcode PciFunctionState.shared}
   * @throws {VireoError} it is of another size
   */
  restore(saved: Uint8Array): void {
    if (saved.length !== this.shared.byteLength) {
      throw new VireoError("PCI function: no such state");
    }
    const config = new ConfigSpace(saved);
    for (let at = 0; at < CONFIG_SPACE_SIZE; at += 4) {
      this.config.write(at, 4, config.get(at, 4));
    }
    const table = new Uint8Array(this.shared, CONFIG_SPACE_SIZE);
    table.set(saved.subarray(CONFIG_SPACE_SIZE));
  }

  /** Guest address of BAR 0, or -1 while the driver has memory switched off. */
  get memoryBase(): number {
    const command = this.config.get(PciRegister.COMMAND, 2);
    if ((command & PciCommand.MEMORY) === 0) return -1;
    return this.config.get(PciRegister.BAR0, 4);
  }

  /** The message control register of MSI-X. */
  get msixControl(): number {
    return this.config.get(Capability.MSIX_CONTROL, 2);
  }

  /** Whether interrupts are messages; else they are the INTx line's. */
  get msixEnabled(): boolean {
    return (this.msixControl & MsixControl.ENABLE) !== 0;
  }

  /** Whether the function may raise its INTx line (§6.2.2, §6.8.3.3). */
  get intxAllowed(): boolean {
    const command = this.config.get(PciRegister.COMMAND, 2);
    return (command & PciCommand.INTX_DISABLE) === 0 && !this.msixEnabled;
  }
}

/** What a driver may write: §6.2.2, §6.2.4, §6.2.5.1, §6.8.2.3, §4.1.4.9. */
function allowWrites(config: ConfigSpace): void {
  const { MEMORY, BUS_MASTER, INTX_DISABLE } = PciCommand;
  config.allow(PciRegister.COMMAND, 2, MEMORY | BUS_MASTER | INTX_DISABLE);
  config.allow(PciRegister.BAR0, 4, ~(BarLayout.SIZE - 1));
  config.allow(PciRegister.INTERRUPT_LINE, 1, 0xff);
  const { ENABLE, MASK } = MsixControl;
  config.allow(Capability.MSIX_CONTROL, 2, ENABLE | MASK);
  config.allow(Capability.PCI_CFG_BAR, 1, 0xff);
  config.allow(Capability.PCI_CFG_OFFSET, 4, 0xffff_ffff);
  config.allow(Capability.PCI_CFG_LENGTH, 4, 0xffff_ffff);
}

function describeMsix(config: ConfigSpace, vectors: number): void {
  config.set(Capability.MSIX, 1, CAP_MSIX);
  config.set(Capability.MSIX + 1, 1, Capability.COMMON);
  config.set(Capability.MSIX_CONTROL, 2, vectors - 1);
  config.set(Capability.MSIX + 4, 4, BarLayout.MSIX_TABLE); // BAR 0
  config.set(Capability.MSIX + 8, 4, BarLayout.MSIX_PENDING);
}

function describeStructures(
  config: ConfigSpace,
  queues: number,
  configSize: number,
): void {
  const notify = queues * NOTIFY_OFF_MULTIPLIER;
  const { COMMON, NOTIFY, ISR, DEVICE, PCI_CFG } = Capability;
  const put = (
    at: number,
    next: number,
    type: number,
    offset: number,
    length: number,
    bytes = 16,
  ) => {
    config.set(at, 1, CAP_VENDOR);
    config.set(at + 1, 1, next);
    config.set(at + 2, 1, bytes);
    config.set(at + 3, 1, type);
    config.set(at + 8, 4, offset);
    config.set(at + 12, 4, length);
  };
  // §4.1.4.6: no such structure where the device has no configuration.
  const last = configSize > 0 ? DEVICE : PCI_CFG;
  put(COMMON, NOTIFY, CfgType.COMMON, BarLayout.COMMON, COMMON_SIZE);
  put(NOTIFY, ISR, CfgType.NOTIFY, BarLayout.NOTIFY, notify, 20);
  put(ISR, last, CfgType.ISR, BarLayout.ISR, 1);
  put(DEVICE, PCI_CFG, CfgType.DEVICE, BarLayout.DEVICE, configSize);
  put(PCI_CFG, 0, CfgType.PCI, 0, 0, 20);
  config.set(NOTIFY + 16, 4, NOTIFY_OFF_MULTIPLIER);
}
