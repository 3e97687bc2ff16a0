/**
 * Connects one virtio function to KVM, on the device worker: its doorbells
 * follow BAR 0, its interrupts the MSI-X table or the INTx line.
 *
 * @module
 */
import { type MsiMessage, MsixControl } from "../../devices/pci/msix.ts";
import type { SavedDevice } from "../../devices/virtio/device.ts";
import {
  type DeviceState,
  DeviceWord,
} from "../../devices/virtio/transport/device_state.ts";
import { vectorOf } from "../../devices/virtio/transport/pci.ts";
import {
  BarLayout,
  NOTIFY_OFF_MULTIPLIER,
  type PciFunctionState,
} from "../../devices/virtio/transport/pci_layout.ts";
import { SystemError } from "../../ffi/errno.ts";
import type { EventFd } from "../../ffi/eventfd.ts";
import type { IrqRoutes } from "../../ffi/kvm/irq_routing.ts";
import type { IoEventFdAddress, VmEvents } from "../../ffi/kvm/vm_events.ts";
import { Layout } from "../../guest/layout.ts";

/** What a connection is made of. */
export interface PciConnectionOptions {
  vm: VmEvents;
  /** The routes of all functions: KVM takes them together. */
  routes: IrqRoutes;
  state: DeviceState;
  pci: PciFunctionState;
  /** The INTx line. */
  gsi: number;
  /** The GSI of vector 0; vector n has the n-th after it. */
  firstMessageGsi: number;
  /** One doorbell per queue. */
  doorbells: readonly EventFd[];
  /** One eventfd per vector. */
  vectors: readonly EventFd[];
  /** Doorbells were taken away: others may want their places. */
  moved(): void;
  /** Tells a human what KVM refuses. */
  log(message: string): void;
}

/** Lines after which a driver that moves BARs about gets no more. */
const LOG_MAX = 20;

/** One function's doorbells and interrupts. */
export class PciConnection {
  readonly #options: PciConnectionOptions;
  #base = -1; // where the doorbells are to be
  /** Those of them that KVM has. */
  readonly #ringing: boolean[];
  #msix = false;
  #intx = true;
  #logged = 0;
  /** What each vector's messages are; masked ones have none. */
  readonly #messages: (MsiMessage | undefined)[];

  /** Connects the function as its configuration space says. */
  constructor(options: PciConnectionOptions) {
    this.#options = options;
    const { vm, doorbells, vectors, firstMessageGsi } = options;
    this.#ringing = doorbells.map(() => false);
    this.#messages = vectors.map(() => undefined);
    vectors.forEach(({ fd }, n) => vm.irqfd(fd, firstMessageGsi + n));
    this.changed();
  }

  /** §4.1.5.3, §4.1.5.4: raises the interrupt of a queue, or of -1. */
  raise(source: number): void {
    if (!this.#msix) {
      const { vm, gsi } = this.#options;
      if (this.#intx) vm.irqLine(gsi, true);
      return;
    }
    const vector = vectorOf(this.#options.state, source);
    if (vector < 0 || vector >= this.#messages.length) return;
    if (this.#messages[vector] === undefined) {
      this.#options.pci.msix.setPending(vector);
    } else {
      this.#options.vectors[vector]!.signal();
    }
  }

  /** The driver wrote to the command register, a BAR, or MSI-X. */
  changed(): void {
    this.#moveDoorbells();
    this.#lookAtMsix();
    this.#lookAtIntx();
  }

  /** The function's registers are as saved. */
  restore({ pci }: SavedDevice): void {
    if (pci) this.#options.pci.restore(pci);
    this.changed();
  }

  /**
   * Tries to have the doorbells that KVM has refused or was not asked for, and
   * rings them: nobody has heard them until now.
   */
  addDoorbells(): void {
    if (this.#base < 0) return;
    this.#options.doorbells.forEach((doorbell, queue) => {
      if (this.#ringing[queue]) return;
      const at = doorbellAddress(this.#base, queue);
      this.#ringing[queue] = this.#tried(() =>
        this.#options.vm.ioeventfd(doorbell.fd, at)
      );
      doorbell.signal();
    });
  }

  #moveDoorbells(): void {
    const { pci } = this.#options;
    const { memoryBase } = pci;
    const inWindow = memoryBase >= Layout.PCI_MEMORY &&
      memoryBase + BarLayout.SIZE <= Layout.PCI_MEMORY + Layout.PCI_MEMORY_SIZE;
    const base = inWindow ? memoryBase : -1;
    if (base !== this.#base) {
      const left = this.#removeDoorbells();
      this.#base = base;
      if (left) this.#options.moved();
    }
    this.addDoorbells();
  }

  /** True when there were any. */
  #removeDoorbells(): boolean {
    let any = false;
    this.#options.doorbells.forEach(({ fd }, queue) => {
      if (!this.#ringing[queue]) return;
      const at = doorbellAddress(this.#base, queue);
      this.#tried(() => this.#options.vm.removeIoeventfd(fd, at));
      this.#ringing[queue] = false;
      any = true;
    });
    return any;
  }

  /** A driver may put two BARs in one place: false when KVM refuses. */
  #tried(action: () => void): boolean {
    try {
      action();
      return true;
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.#log(error.message);
      return false;
    }
  }

  /** PCI §6.2.2: what came while INTx was disabled is sent now. */
  #lookAtIntx(): void {
    const { vm, pci, state, gsi } = this.#options;
    this.#intx = pci.intxAllowed;
    const { words } = state;
    const pending = Atomics.load(words, DeviceWord.INTERRUPT_STATUS) !== 0;
    vm.irqLine(gsi, this.#intx && pending);
  }

  #lookAtMsix(): void {
    const { pci, routes, firstMessageGsi, vectors } = this.#options;
    this.#msix = pci.msixEnabled;
    const open = this.#msix && (pci.msixControl & MsixControl.MASK) === 0;
    let changed = false;
    for (let n = 0; n < vectors.length; n++) {
      const message = open && !pci.msix.masked(n)
        ? { addressLow: 0, addressHigh: 0, data: 0 }
        : undefined;
      if (message) pci.msix.message(n, message);
      if (same(message, this.#messages[n])) continue;
      this.#messages[n] = message;
      routes.setMessage(firstMessageGsi + n, message);
      changed = true;
    }
    if (!changed) return;
    try {
      routes.apply();
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.#log(error.message);
      for (let n = 0; n < vectors.length; n++) this.#forget(n);
      routes.apply();
    }
    // §6.8.2.9: what came while a vector was masked is sent now.
    for (let n = 0; n < vectors.length; n++) {
      if (this.#messages[n] && pci.msix.takePending(n)) vectors[n]!.signal();
    }
  }

  #log(message: string): void {
    if (this.#logged++ < LOG_MAX) this.#options.log(message);
  }

  #forget(vector: number): void {
    this.#messages[vector] = undefined;
    this.#options.routes.setMessage(this.#options.firstMessageGsi + vector);
  }
}

/** A write of any width. */
function doorbellAddress(base: number, queue: number): IoEventFdAddress {
  const address = base + BarLayout.NOTIFY + queue * NOTIFY_OFF_MULTIPLIER;
  return { address, length: 0 };
}

function same(a: MsiMessage | undefined, b: MsiMessage | undefined): boolean {
  return a?.addressLow === b?.addressLow &&
    a?.addressHigh === b?.addressHigh && a?.data === b?.data;
}
