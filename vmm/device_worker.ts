/// <reference no-default-lib="true"/>
/// <reference lib="deno.worker"/>
/**
 * The entry point of the device worker: makes the devices, connects their
 * doorbells and interrupts to KVM, then serves them until the machine ends.
 *
 * @module
 */
import { rawBackend } from "../devices/block/raw.ts";
import { getrandom } from "../devices/entropy/source.ts";
import { EventLoop } from "../devices/event_loop.ts";
import { PollWindow } from "../devices/poll_window.ts";
import { RateLimiter } from "../devices/rate_limiter.ts";
import { Balloon } from "../devices/virtio/balloon.ts";
import { Blk } from "../devices/virtio/blk.ts";
import type { VirtioDevice } from "../devices/virtio/device.ts";
import { DeviceState } from "../devices/virtio/device_state.ts";
import { CONFIG_SOURCE, Endpoint } from "../devices/virtio/endpoint.ts";
import { MmioRegister } from "../devices/virtio/mmio.ts";
import { Net } from "../devices/virtio/net.ts";
import { BarLayout, PciFunctionState } from "../devices/virtio/pci_layout.ts";
import { Rng } from "../devices/virtio/rng.ts";
import { Vsock } from "../devices/virtio/vsock.ts";
import { UnixSockets } from "../devices/vsock/unix_sockets.ts";
import { drainEventFd, EventFd } from "../ffi/eventfd.ts";
import { IOAPIC_PINS, IrqRoutes } from "../ffi/irq_routing.ts";
import { Vm } from "../ffi/kvm.ts";
import { Layout } from "../guest/layout.ts";
import { GuestMemory } from "../guest/memory.ts";
import { makeConsole } from "./console.ts";
import { Command, Control } from "./control.ts";
import { DeviceCommands } from "./device_channel.ts";
import type {
  DeviceSpec,
  DeviceWorkerStart,
  WorkerMessage,
} from "./messages.ts";
import { netBackends } from "./net_backends.ts";
import { PciConnection } from "./pci_connection.ts";

/** Requests that one disk may have in flight. */
const BLK_REQUESTS = 256;

/** Looks at memory between two looks at descriptors: those are system calls. */
const POLLS_PER_TURN = 64;

function post(message: WorkerMessage): void {
  self.postMessage(message);
}

self.onmessage = async ({ data }: MessageEvent<DeviceWorkerStart>) => {
  try {
    const memory = GuestMemory.attach(data.memory);
    const made = await Promise.all(
      data.devices.map((spec) => makeDevice(spec, memory)),
    );
    using devices = new DeviceThread(data, made, memory);
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
  #routes: IrqRoutes | undefined;
  #nextMessageGsi = IOAPIC_PINS;
  // Watches only what may happen while the devices are paused.
  readonly #paused = new EventLoop();

  constructor(
    start: DeviceWorkerStart,
    devices: VirtioDevice[],
    memory: GuestMemory,
  ) {
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
    while (this.#control.deviceCommand === Command.RUN) {
      let worked = this.#loop.turn(0) > 0;
      for (let i = 0; i < POLLS_PER_TURN; i++) {
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
      ? this.#connectPci(spec, spec.pci, device, doorbells, vm)
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
    { gsi, state }: DeviceSpec,
    shared: SharedArrayBuffer,
    { deviceId, queueSizes, config }: VirtioDevice,
    doorbells: readonly EventFd[],
    vm: Vm,
  ): Connection {
    const pci = new PciFunctionState(shared);
    const slot = this.#endpoints.length;
    const base = Layout.PCI_MEMORY + slot * BarLayout.SIZE;
    pci.describe(deviceId, queueSizes.length, config.length, base, gsi);
    const vectors = [...queueSizes, CONFIG_SOURCE].map(() => this.#eventFd());
    const firstMessageGsi = this.#nextMessageGsi;
    this.#nextMessageGsi += vectors.length;
    this.#routes ??= new IrqRoutes(vm.fd);
    return new PciConnection({
      vm,
      routes: this.#routes,
      state: new DeviceState(state),
      pci,
      gsi,
      firstMessageGsi,
      doorbells,
      vectors,
      log,
    });
  }

  #eventFd(): EventFd {
    const eventFd = new EventFd();
    this.#eventFds.push(eventFd);
    return eventFd;
  }
}

async function makeDevice(
  spec: DeviceSpec,
  memory: GuestMemory,
): Promise<VirtioDevice> {
  switch (spec.kind) {
    case "blk":
      return new Blk(
        rawBackend(spec.image, BLK_REQUESTS, spec.sync),
        spec.id,
        spec.options,
      );
    case "net":
      return new Net(await netBackends(spec, memory, log), spec.mac);
    case "rng":
      return new Rng(getrandom, RateLimiter.from(spec.limits));
    case "balloon":
      return new Balloon(spec.options);
    case "console":
      return makeConsole(spec.ends, {
        outputReady: () => post({ type: "output" }),
        inputRoom: () => post({ type: "input-room" }),
      });
    case "vsock":
      return new Vsock(spec.cid, new UnixSockets(spec.sockets));
    case "module": {
      const { default: Device } = await import(spec.module);
      return new Device(spec.options);
    }
  }
}
