/**
 * A driver for testing virtio devices without a guest: the transport's
 * registers, the device's activated and the event loop in one thread.
 *
 * ```ts
 * import { GuestMemory } from "../../../guest/memory.ts";
 * import { MemoryBackend } from "../../backends/testing/block.ts";
 * import { Blk } from "../blk/blk.ts";
 * import { MockDriver } from "./mod.ts";
 *
 * using memory = GuestMemory.allocate(1 << 20);
 * const disk = new MemoryBackend(memory, 1 << 20);
 * using driver = new MockDriver(new Blk(disk, "disk0"), { memory });
 * driver.start();
 * const header = driver.buffer(new Uint8Array(16)); // read sector 0
 * const data = driver.room(512);
 * const status = driver.room(1);
 * driver.queues[0]!.add([header, data, status]);
 * driver.kick(0);
 * console.log(driver.queues[0]!.poll(), driver.bytes(status)); // 0, [0]
 * ```
 *
 * @module
 */
import { EventFd } from "../../../ffi/eventfd.ts";
import { Layout, MiB, virtioGsi } from "../../../guest/layout.ts";
import { GuestMemory } from "../../../guest/memory.ts";
import type { EventLoop } from "../../runtime/event_loop.ts";
import type { VirtioDevice } from "../device.ts";
import { DeviceState } from "../transport/device_state.ts";
import { ActivatedDevice } from "../transport/activated_device.ts";
import type { TransportHooks } from "../transport/driver_registers.ts";
import { MmioRegister, MmioTransport } from "../transport/mmio.ts";
import { VirtioPciFunction } from "../transport/pci.ts";
import { PciFunctionState } from "../transport/pci_layout.ts";
import { Feature, type FeatureWords, featureWords, Status } from "../spec.ts";
import { PciAsMmio } from "./pci.ts";
import { PackedQueue } from "../queue/packed.ts";
import { PackedDriverQueue, packedQueueBytes } from "./packed_queue.ts";
import {
  type DriverBuffer,
  DriverQueue,
  type DriverRing,
  queueBytes,
} from "./queue.ts";
import { ThreadLoop } from "./thread_loop.ts";

/** How the mock is set up. */
export interface MockDriverOptions {
  /** Guest RAM; default: 4 MiB of the mock's own. */
  memory?: GuestMemory;
  /** Doorbells go through eventfds and the loop; default: straight. */
  doorbellFds?: boolean;
  /**
   * After its work the device's thread looks no further: the test plays its
   * polling. Default: it looks until there is no work, and goes to sleep.
   */
  awake?: boolean;
  /** How the driver reaches the device; default `mmio`. */
  transport?: "mmio" | "pci";
  /** The device offers packed queues; default: split ones only. */
  packed?: boolean;
}

/** How {@linkcode MockDriver.start} sets a device up. */
export interface StartOptions {
  /** Accepted feature bits and VERSION_1; default: all that are offered. */
  features?: readonly number[];
  /** Descriptors per queue; default: the most that the device offers. */
  queueSize?: number;
}

/** Guest addresses that {@linkcode MockDriver.configureQueue} writes. */
export interface QueueAddresses {
  /** Number of descriptors. */
  size: number;
  /** Descriptor table. */
  desc: number;
  /** Driver area. */
  avail: number;
  /** Device area. */
  used: number;
}

const FIRST_ADDRESS = 0x1_0000; // of {@linkcode MockDriver.allocate}
const TWO_32 = 0x1_0000_0000;
const PATIENCE_MS = 60_000; // of {@linkcode MockDriver.until}

/** A transport's registers, at virtio-mmio's places. */
export interface Registers {
  /** Reads a register. */
  read(register: number, size: number): number;
  /** Writes a register. */
  write(register: number, size: number, value: number): void;
}

/** A device with its transport, and a driver that uses it. */
export class MockDriver implements Disposable {
  /** The guest's RAM. */
  readonly memory: GuestMemory;
  /** The device worker's loop; {@linkcode MockDriver.turn} turns it. */
  readonly loop: EventLoop;
  /** The registers' shared page. */
  readonly state = new DeviceState();
  /** The device's side. */
  activated: ActivatedDevice;
  /** The registers as a vCPU sees them. */
  readonly transport: Registers;
  /** The device's function, when it is on PCI. */
  readonly pci: VirtioPciFunction | undefined;
  /** The queues that {@linkcode MockDriver.start} has set up. */
  readonly rings: DriverRing[] = [];
  /** The same, as far as they are split ones: all of the ring is in sight. */
  readonly queues: DriverQueue[] = [];
  /** How often the device has raised its interrupt. */
  interrupts = 0;
  /** What the device has told its human. */
  readonly messages: string[] = [];
  readonly #awake: boolean;
  readonly #packed: boolean | undefined;
  readonly #ownsMemory: boolean;
  readonly #doorbells: EventFd[] = [];
  #next = FIRST_ADDRESS;

  /** Attaches `device`; the driver has done nothing yet. */
  constructor(device: VirtioDevice, options: MockDriverOptions = {}) {
    this.#awake = options.awake ?? false;
    this.#packed = options.packed;
    this.loop = new ThreadLoop(() => this.#worked());
    this.#ownsMemory = options.memory === undefined;
    this.memory = options.memory ??
      GuestMemory.allocate(4 * MiB, { hugePages: false });
    this.activated = this.activate(device);
    if (options.doorbellFds) this.#makeDoorbells(device.queueSizes.length);
    const hooks = {
      requestReady: () => {
        this.activated.serve();
        this.#worked();
      },
      notify: (index: number) => this.#notify(index),
      stopping: () => false,
    };
    this.pci = options.transport === "pci"
      ? this.#pciFunction(device, hooks)
      : undefined;
    this.transport = this.pci
      ? new PciAsMmio(this.pci)
      : new MmioTransport(this.state, hooks);
  }

  /** Reads a register, of 32 bits unless told otherwise. */
  get(register: number, size = 4): number {
    return this.transport.read(register, size);
  }

  /** Writes a register. */
  set(register: number, value: number, size = 4): void {
    this.transport.write(register, size, value);
  }

  /** The device status field (§2.1). */
  get status(): number {
    return this.get(MmioRegister.Status);
  }

  /** Adds bits to the device status field. */
  addStatus(bits: number): void {
    this.set(MmioRegister.Status, this.status | bits);
  }

  /** The features that the device offers, read as a driver reads them. */
  get offered(): FeatureWords {
    this.set(MmioRegister.DeviceFeaturesSel, 0);
    const low = this.get(MmioRegister.DeviceFeatures);
    this.set(MmioRegister.DeviceFeaturesSel, 1);
    return [low, this.get(MmioRegister.DeviceFeatures)];
  }

  /** Writes the features that the driver accepts. */
  acceptFeatures([low, high]: FeatureWords): void {
    this.set(MmioRegister.DriverFeaturesSel, 0);
    this.set(MmioRegister.DriverFeatures, low);
    this.set(MmioRegister.DriverFeaturesSel, 1);
    this.set(MmioRegister.DriverFeatures, high);
  }

  /**
   * §3.1.1, steps 1 to 6: reset, ACKNOWLEDGE, DRIVER, features, FEATURES_OK.
   * True when the device has agreed.
   */
  negotiate(features: FeatureWords = this.offered): boolean {
    this.reset();
    this.addStatus(Status.ACKNOWLEDGE);
    this.addStatus(Status.DRIVER);
    this.acceptFeatures(features);
    this.addStatus(Status.FEATURES_OK);
    return (this.status & Status.FEATURES_OK) !== 0;
  }

  /** §3.1.1, all of it: the device is live afterwards. */
  start(options: StartOptions = {}): void {
    const { features, queueSize } = options;
    const agreed = this.negotiate(
      features && featureWords(...features, Feature.VERSION_1),
    );
    if (!agreed) throw new Error("the device refused the features");
    this.#forgetQueues();
    for (const { index, maxSize } of this.activated.queues) {
      const size = queueSize ?? maxSize;
      if (this.state.hasFeature(Feature.RING_PACKED)) {
        this.rings.push(this.setUpPackedQueue(index, size));
      } else {
        this.queues.push(this.setUpQueue(index, size));
        this.rings.push(this.queues[index]!);
      }
    }
    this.addStatus(Status.DRIVER_OK);
  }

  /** Lays split queue `index` out in memory and tells the device. */
  setUpQueue(index: number, size: number): DriverQueue {
    const queue = new DriverQueue(this.memory, {
      index,
      size,
      address: this.allocate(queueBytes(size)),
      ...this.#ringFeatures,
    });
    this.configureQueue(index, queue);
    return queue;
  }

  /** Lays packed queue `index` out in memory and tells the device. */
  setUpPackedQueue(index: number, size: number): PackedDriverQueue {
    const queue = new PackedDriverQueue(this.memory, {
      index,
      size,
      address: this.allocate(packedQueueBytes(size)),
      ...this.#ringFeatures,
    });
    this.configureQueue(index, queue);
    return queue;
  }

  /** §4.2.3.2: writes a queue's registers, valid or not, and QueueReady. */
  configureQueue(index: number, queue: QueueAddresses): void {
    this.set(MmioRegister.QueueSel, index);
    this.set(MmioRegister.QueueNum, queue.size);
    this.#setAddress(MmioRegister.QueueDescLow, queue.desc);
    this.#setAddress(MmioRegister.QueueDriverLow, queue.avail);
    this.#setAddress(MmioRegister.QueueDeviceLow, queue.used);
    this.set(MmioRegister.QueueReady, 1);
  }

  /** §2.4: writes 0 to the status; the mock's memory may be used anew. */
  reset(): void {
    this.set(MmioRegister.Status, 0);
    this.#forgetQueues();
    this.#next = FIRST_ADDRESS;
  }

  /** Rings the doorbell of queue `index`, wanted or not. */
  ring(index: number): void {
    this.set(MmioRegister.QueueNotify, index);
  }

  /** Rings the doorbell of queue `index` if the device wants it. */
  kick(index: number): boolean {
    const wanted = this.rings[index]!.doorbellWanted();
    if (wanted) this.ring(index);
    return wanted;
  }

  /** Reads InterruptStatus and acknowledges what it says. */
  acknowledge(): number {
    const status = this.get(MmioRegister.InterruptStatus);
    this.set(MmioRegister.InterruptACK, status);
    return status;
  }

  /** What the thread does before it sleeps: looks until there is no work. */
  sleep(): void {
    while (this.activated.poll() || this.activated.enable());
  }

  /** The thread goes to sleep, and looks for events once; their number. */
  turn(): number {
    this.sleep();
    return this.loop.turn(0);
  }

  /** Turns the loop until `condition` holds. */
  until(condition: () => boolean, what = "the condition"): void {
    const end = Date.now() + PATIENCE_MS;
    while (!condition()) {
      if (Date.now() > end) throw new Error(`${what} has not come`);
      this.sleep();
      this.loop.turn(20);
    }
  }

  /** Guest memory that nothing else has, until the next reset. */
  allocate(length: number, alignment = 16): number {
    const address = Math.ceil(this.#next / alignment) * alignment;
    this.memory.bytes(address, length); // or throws
    this.#next = address + length;
    return address;
  }

  /** A buffer for the device to read, with these bytes. */
  buffer(bytes: Uint8Array): DriverBuffer {
    const address = this.allocate(bytes.length);
    this.memory.write(address, bytes);
    return { address, length: bytes.length };
  }

  /** A buffer for the device to write, filled with `fill`. */
  room(length: number, fill = 0xee): DriverBuffer {
    const address = this.allocate(length);
    this.memory.bytes(address, length).fill(fill);
    return { address, length, writable: true };
  }

  /** The bytes of a buffer: a view, not a copy. */
  bytes(buffer: DriverBuffer): Uint8Array<ArrayBuffer> {
    return this.memory.bytes(buffer.address, buffer.length);
  }

  /** Resets and closes the device, and frees what the mock has made. */
  close(): void {
    this.activated.close();
    this.loop.close();
    for (const doorbell of this.#doorbells) doorbell.close();
    if (this.#ownsMemory) this.memory.free();
  }

  /** `using` support. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** Puts a device behind the registers. */
  activate(device: VirtioDevice): ActivatedDevice {
    return new ActivatedDevice(device, {
      state: this.state,
      memory: this.memory,
      loop: this.loop,
      packed: this.#packed ? PackedQueue : undefined,
      raiseInterrupt: () => this.interrupts++,
      log: (message) => this.messages.push(message),
    });
  }

  #pciFunction(
    { deviceId, queueSizes, config }: VirtioDevice,
    hooks: TransportHooks,
  ): VirtioPciFunction {
    const pci = new PciFunctionState();
    const { PCI_MEMORY } = Layout;
    const gsi = virtioGsi(0);
    pci.describe(deviceId, queueSizes.length, config.length, PCI_MEMORY, gsi);
    const interruptLine = () => {};
    return new VirtioPciFunction(this.state, pci, { ...hooks, interruptLine });
  }

  get #ringFeatures(): { eventIdx: boolean; indirect: boolean } {
    return {
      eventIdx: this.state.hasFeature(Feature.EVENT_IDX),
      indirect: this.state.hasFeature(Feature.INDIRECT_DESC),
    };
  }

  #forgetQueues(): void {
    this.queues.length = 0;
    this.rings.length = 0;
  }

  #makeDoorbells(count: number): void {
    for (let index = 0; index < count; index++) {
      const doorbell = new EventFd();
      this.#doorbells.push(doorbell);
      this.activated.watchDoorbell(index, doorbell.fd);
    }
  }

  #notify(index: number): void {
    const doorbell = this.#doorbells[index];
    if (doorbell !== undefined) return doorbell.signal();
    this.activated.doorbell(index);
    this.#worked();
  }

  #worked(): void {
    if (!this.#awake) this.sleep();
  }

  #setAddress(register: number, address: number): void {
    this.set(register, address >>> 0);
    this.set(register + 4, Math.floor(address / TWO_32) >>> 0);
  }
}
