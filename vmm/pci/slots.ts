/**
 * The devices of bus 0 from 1 on, on the device worker: which BAR and which
 * interrupt messages each virtio function begins with.
 *
 * @module
 */
import type { VirtioDevice } from "../../devices/virtio/device.ts";
import { DeviceState } from "../../devices/virtio/transport/device_state.ts";
import {
  BarLayout,
  PciFunctionState,
} from "../../devices/virtio/transport/pci_layout.ts";
import type { EventFd } from "../../ffi/eventfd.ts";
import { IOAPIC_PINS, IrqRoutes } from "../../ffi/kvm/irq_routing.ts";
import { VmEvents } from "../../ffi/kvm/vm_events.ts";
import { Layout } from "../../guest/layout.ts";
import type { DeviceSpec } from "../messages.ts";
import { PciConnection } from "./connection.ts";

/** Gives out slots, in the order of devices. */
export class PciSlots {
  readonly #vm: VmEvents;
  readonly #routes: IrqRoutes;
  readonly #log: (message: string) => void;
  #slots = 0;
  #nextMessageGsi = IOAPIC_PINS;
  readonly #connections: PciConnection[] = [];

  /** The slots of the VM with this descriptor. */
  constructor(vmFd: number, log: (message: string) => void) {
    this.#vm = new VmEvents(vmFd);
    this.#routes = new IrqRoutes(vmFd);
    this.#log = log;
  }

  /** Describes `device` in its configuration space, and connects it. */
  connect(
    { gsi, state, pci: shared }: DeviceSpec,
    { deviceId, queueSizes, config }: VirtioDevice,
    doorbells: readonly EventFd[],
    vectors: readonly EventFd[],
  ): PciConnection {
    const pci = new PciFunctionState(shared);
    const base = Layout.PCI_MEMORY + this.#slots++ * BarLayout.SIZE;
    pci.describe(deviceId, queueSizes.length, config.length, base, gsi);
    const firstMessageGsi = this.#nextMessageGsi;
    this.#nextMessageGsi += vectors.length;
    const connection = new PciConnection({
      vm: this.#vm,
      routes: this.#routes,
      state: new DeviceState(state),
      pci,
      gsi,
      firstMessageGsi,
      doorbells,
      vectors,
      moved: () => this.#connections.forEach((other) => other.addDoorbells()),
      log: this.#log,
    });
    this.#connections.push(connection);
    return connection;
  }
}
