/**
 * What is between a device and KVM, on the device worker: doorbells and
 * interrupts, in a virtio-mmio window here, of a PCI function in `pci/`.
 *
 * @module
 */
import type { SavedDevice, VirtioDevice } from "../devices/virtio/device.ts";
import {
  DeviceState,
  DeviceWord,
} from "../devices/virtio/transport/device_state.ts";
import { MmioRegister } from "../devices/virtio/transport/mmio.ts";
import { Interrupt } from "../devices/virtio/spec.ts";
import { SystemError } from "../ffi/errno.ts";
import { EventFd } from "../ffi/eventfd.ts";
import {
  InterruptEdge,
  type IoEventFdAddress,
  VmEvents,
} from "../ffi/kvm/vm_events.ts";
import type { DeviceSpec, DeviceWorkerStart } from "./messages.ts";

/** What is between a device and KVM. */
export interface Connection {
  /** Interrupts the guest; `source` is a queue's number, or the configuration's. */
  raise(source: number): void;
  /** The driver has changed the transport's own registers. */
  changed(): void;
  /** A driver begins to use the device, or goes on with it. */
  activated?(): void;
  /** They are as saved; so is the device, afterwards. */
  restore?(saved: SavedDevice): void;
}

/** Connects a device to KVM. */
export type Connector = (
  spec: DeviceSpec,
  device: VirtioDevice,
  doorbells: readonly EventFd[],
  eventFd: () => EventFd,
) => Connection;

/** How all devices of a machine are connected over MMIO. */
type MmioOptions = Pick<DeviceWorkerStart, "irqfd" | "mapped">;

/** Not a literal in `import()`: that is read at the start, needed or not. */
const SLOTS = new URL("./pci/slots.ts", import.meta.url).href;

/** Connects the devices of one machine, one after the other. */
export async function connectorOf(
  start: DeviceWorkerStart,
  log: (message: string) => void,
): Promise<Connector> {
  const virtio = start.devices.some(({ pci }) => pci)
    ? await pciConnector(start.vmFd, log)
    : mmioConnector(start.vmFd, start);
  return (spec, ...rest) => spec.plain ? plain(spec) : virtio(spec, ...rest);
}

/** A plain device has no transport and no driver's status. */
function plain({ state }: DeviceSpec): Connection {
  new DeviceState(state).words[DeviceWord.ACTIVE] = 1;
  return { raise: () => {}, changed: () => {} };
}

function mmioConnector(vmFd: number, options: MmioOptions): Connector {
  const vm = new VmEvents(vmFd);
  return (spec, _device, doorbells, eventFd) =>
    new MmioConnection(vm, spec, doorbells, eventFd, options);
}

async function pciConnector(
  vmFd: number,
  log: (message: string) => void,
): Promise<Connector> {
  const { PciSlots }: typeof import("./pci/slots.ts") = await import(SLOTS);
  const slots = new PciSlots(vmFd, log);
  return (spec, device, doorbells, eventFd) => {
    // One for each queue, and one for the configuration.
    const vectors = [...device.queueSizes, 0].map(eventFd);
    return slots.connect(spec, device, doorbells, vectors);
  };
}

/** A window's doorbells, by their values, and its interrupt. */
class MmioConnection implements Connection {
  readonly #vm: VmEvents;
  readonly #gsi: number;
  readonly #words: Int32Array;
  readonly #interrupt: EventFd | InterruptEdge;
  readonly #unseen: EventFd | undefined; // takes acknowledgements
  #taken = false;
  readonly #ack: IoEventFdAddress;

  /** Connects the doorbells, one for each queue, and the interrupt. */
  constructor(
    vm: VmEvents,
    { window, gsi, state }: DeviceSpec,
    doorbells: readonly EventFd[],
    eventFd: () => EventFd,
    { irqfd, mapped }: MmioOptions,
  ) {
    this.#vm = vm;
    this.#gsi = gsi;
    this.#words = new DeviceState(state).words;
    this.#interrupt = irqfd ? eventFd() : new InterruptEdge(vm.fd, gsi);
    if (this.#interrupt instanceof EventFd) vm.irqfd(this.#interrupt.fd, gsi);
    this.#unseen = mapped ? eventFd() : undefined;
    this.#ack = {
      address: window + MmioRegister.InterruptACK,
      length: 4,
      datamatch: Interrupt.USED_BUFFER,
    };
    doorbells.forEach(({ fd }, index) =>
      vm.ioeventfd(fd, {
        address: window + MmioRegister.QueueNotify,
        length: 4,
        datamatch: index,
      })
    );
  }

  /** Interrupts the guest. */
  raise(): void {
    this.#interrupt.signal();
  }

  /** There are no other registers than the device's. */
  changed(): void {}

  /**
   * A driver begins to use the device. One that waits for interrupts reads
   * InterruptStatus only to tell what each is about. Where it reads that from
   * memory, nobody has to see what it acknowledges: the bit of used buffers
   * stays set, and no interrupt costs an exit. A driver that looks at the
   * register by itself has the interrupt masked; it sees the bit go.
   */
  activated(): void {
    const unseen = this.#unseen?.fd;
    if (unseen === undefined) return;
    const wanted = this.#vm.unmasked(this.#gsi);
    if (wanted && !this.#taken) {
      this.#taken = this.#take(unseen);
    } else if (!wanted && this.#taken) {
      this.#vm.removeIoeventfd(unseen, this.#ack);
      this.#taken = false;
    }
    this.#words[DeviceWord.UNSEEN_ACK] = this.#taken ? 1 : 0;
  }

  /** False when KVM has no room for it: then acknowledgements exit. */
  #take(unseen: number): boolean {
    try {
      this.#vm.ioeventfd(unseen, this.#ack);
      return true;
    } catch (error) {
      if (error instanceof SystemError) return false;
      throw error;
    }
  }
}
