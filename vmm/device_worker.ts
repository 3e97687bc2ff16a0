/// <reference no-default-lib="true"/>
/// <reference lib="deno.worker"/>
/**
 * The entry point of the device worker: makes the devices, connects their
 * doorbells and interrupts to KVM, then serves them until the machine ends.
 *
 * @module
 */
import { EventLoop } from "../devices/runtime/event_loop.ts";
import { PollWindow } from "../devices/runtime/poll_window.ts";
import type { VirtioDevice } from "../devices/virtio/device.ts";
import { DeviceState } from "../devices/virtio/transport/device_state.ts";
import { Endpoint } from "../devices/virtio/transport/activated_device.ts";
import { MmioRegister } from "../devices/virtio/transport/mmio.ts";
import { drainEventFd, EventFd } from "../ffi/eventfd.ts";
import { Vm } from "../ffi/kvm/kvm.ts";
import { GuestMemory } from "../guest/memory.ts";
import { Command, Control } from "./control.ts";
import { DeviceCommands } from "./device_channel.ts";
import type {
  DeviceSpec,
  DeviceWorkerStart,
  WorkerMessage,
} from "./messages.ts";
import { makeDevice } from "./devices/make_device.ts";
import type { PciSlots } from "./pci/slots.ts";

/** Looks at memory between two looks at descriptors: those are system calls. */
const POLLS_PER_TURN = 64;
/** The same while descriptors have events: frames from a TAP have no other. */
const POLLS_BETWEEN_EVENTS = 16;
/** Turns without an event after which none is expected soon. */
const TURNS_EXPECTANT = 16;

function post(message: WorkerMessage): void {
  self.postMessage(message);
}

self.onmessage = async ({ data }: MessageEvent<DeviceWorkerStart>) => {
  try {
    const memory = GuestMemory.attach(data.memory);
    const made = await Promise.all(
      data.devices.map((spec) => makeDevice(spec, memory, post)),
    );
    const pci = data.devices.some((spec) => spec.pci)
      ? new (await import("./pci/slots.ts")).PciSlots(data.vmFd, log)
      : undefined;
    using devices = new DeviceThread(data, made, memory, pci);
    post({ type: "ready" });
    devices.run();
  } catch (error) {
    const message = error instanceof Error
      ? error.stack ?? error.message
      : String(error);
    post({ type: "end", end: { reason: "error", message } });
  } finally {
    post({ type: "stopped" });
  }
};

function log(message: string): void {
  post({ type: "log", message });
}

/** What is between a device and KVM. */
interface Connection {
  /** See {@linkcode EndpointOptions.raiseInterrupt}. */
  raise(source: number): void;
  /** See {@linkcode EndpointOptions.transportChanged}. */
  changed(): void;
}

/** The devices of one machine, and their loop. */
class DeviceThread implements Disposable {
  readonly #control: Control;
  readonly #controlFd: number;
  readonly #commands: DeviceCommands;
  readonly #loop = new EventLoop();
  readonly #endpoints: Endpoint[] = [];
  readonly #eventFds: EventFd[] = [];
  readonly #window: PollWindow;
  readonly #pci: PciSlots | undefined;
  // Watches only what may happen while the devices are paused.
  readonly #paused = new EventLoop();

  constructor(
    start: DeviceWorkerStart,
    devices: VirtioDevice[],
    memory: GuestMemory,
    pci: PciSlots | undefined,
  ) {
    this.#pci = pci;
    this.#control = new Control(start.control);
    this.#controlFd = start.controlFd;
    this.#commands = new DeviceCommands(start.commands, this.#control);
    this.#window = new PollWindow(start.pollMicroseconds);
    const vm = new Vm(start.vmFd, 0);
    start.devices.forEach((spec, index) =>
      this.#add(spec, devices[index]!, memory, vm, start.packed)
    );
    this.#loop.watch(start.controlFd, this);
    this.#paused.watch(start.controlFd, this);
  }

  /** Serves the devices until the main isolate says stop. */
  run(): void {
    const control = this.#control;
    for (;;) {
      if (control.deviceCommand === Command.STOP) return;
      const pause = control.devicePause;
      if (pause !== 0) {
        post({ type: "paused" });
        while (control.devicePause === pause) this.#paused.turn(-1);
        post({ type: "resumed" });
      } else {
        this.#pollThenSleep();
      }
    }
  }

  /** Looks for work until none has come for a window's time, then sleeps. */
  #pollThenSleep(): void {
    const window = this.#window;
    // Even without a window: what arm() found last time is to be done.
    let hit = false;
    if (window.milliseconds > 0) hit = this.#pollFor(window.milliseconds);
    else this.#poll();
    if (this.#arm()) return void this.#loop.turn(0); // others' turn, too
    if (this.#control.deviceCommand !== Command.RUN) return;
    const asleep = performance.now();
    this.#loop.turn(-1);
    window.woke(hit, performance.now() - asleep);
  }

  /** True when work came within `milliseconds` of the start. */
  #pollFor(milliseconds: number): boolean {
    let deadline = performance.now() + milliseconds;
    let hit = false;
    let expectant = 0; // turns in which a descriptor's event may come
    while (this.#control.deviceCommand === Command.RUN) {
      let worked = this.#loop.turn(0) > 0;
      expectant = worked ? TURNS_EXPECTANT : Math.max(0, expectant - 1);
      const polls = expectant > 0 ? POLLS_BETWEEN_EVENTS : POLLS_PER_TURN;
      for (let i = 0; i < polls; i++) {
        if (this.#poll()) worked = true;
      }
      const now = performance.now();
      if (worked) {
        // Late work means that this thread lost its core: no merit of polling.
        if (now <= deadline) hit = true;
        deadline = now + milliseconds;
      } else if (now > deadline) {
        return hit;
      }
    }
    return hit;
  }

  #poll(): boolean {
    let worked = false;
    for (let i = 0; i < this.#endpoints.length; i++) {
      if (this.#endpoints[i]!.poll()) worked = true;
    }
    return worked;
  }

  #arm(): boolean {
    let work = false;
    for (let i = 0; i < this.#endpoints.length; i++) {
      if (this.#endpoints[i]!.arm()) work = true;
    }
    return work;
  }

  /** The control eventfd: run or pause, a transport's request, commands. */
  ready(): void {
    drainEventFd(this.#controlFd);
    for (const endpoint of this.#endpoints) endpoint.serve();
    this.#commands.serve(
      (device, command) => this.#endpoints[device]!.command(command),
      (answer) => post({ type: "answer", answer }),
    );
  }

  [Symbol.dispose](): void {
    for (const endpoint of this.#endpoints) endpoint.close();
    this.#loop.close();
    this.#paused.close();
    for (const eventFd of this.#eventFds) eventFd.close();
  }

  #add(
    spec: DeviceSpec,
    device: VirtioDevice,
    memory: GuestMemory,
    vm: Vm,
    packed: boolean,
  ): void {
    // Before the endpoint: once it has described the device, a driver that is
    // waiting for it may ring.
    const doorbells = device.queueSizes.map(() => this.#eventFd());
    const connection = spec.pci
      ? this.#connectPci(spec, device, doorbells)
      : this.#connectMmio(spec, doorbells, vm);
    const endpoint = new Endpoint(device, {
      state: new DeviceState(spec.state),
      memory,
      loop: this.#loop,
      polled: true,
      packed,
      raiseInterrupt: (source) => connection.raise(source),
      transportChanged: () => connection.changed(),
      log,
    });
    this.#endpoints.push(endpoint);
    doorbells.forEach(({ fd }, index) => endpoint.watchDoorbell(index, fd));
  }

  /** Doorbells by their values, and one irqfd. */
  #connectMmio(
    { window, gsi }: DeviceSpec,
    doorbells: readonly EventFd[],
    vm: Vm,
  ): Connection {
    const interrupt = this.#eventFd();
    vm.irqfd(interrupt.fd, gsi);
    doorbells.forEach(({ fd }, index) =>
      vm.ioeventfd(fd, {
        address: window + MmioRegister.QueueNotify,
        length: 4,
        datamatch: index,
      })
    );
    return { raise: () => interrupt.signal(), changed: () => {} };
  }

  #connectPci(
    spec: DeviceSpec,
    device: VirtioDevice,
    doorbells: readonly EventFd[],
  ): Connection {
    // One for each queue, and one for the configuration.
    const vectors = [...device.queueSizes, 0].map(() => this.#eventFd());
    return this.#pci!.connect(spec, device, doorbells, vectors);
  }

  #eventFd(): EventFd {
    const eventFd = new EventFd();
    this.#eventFds.push(eventFd);
    return eventFd;
  }
}
