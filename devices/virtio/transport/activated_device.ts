/**
 * The device's end of a transport, on the device worker: carries out what the
 * driver's register writes ask for, and passes doorbells to the device.
 *
 * @module
 */
import { Events } from "../../../ffi/epoll.ts";
import { VireoError } from "../../../ffi/error.ts";
import type { GuestMemory } from "../../../guest/memory.ts";
import type { EventLoop, Watcher } from "../../runtime/event_loop.ts";
import type { DeviceContext, SavedDevice, VirtioDevice } from "../device.ts";
import type { DeviceRecord } from "../device_record.ts";
import {
  type DeviceState,
  DeviceWord,
  QueueWord,
  Request,
} from "./device_state.ts";
import type { QueueState, VirtQueue } from "../queue/queue.ts";
import {
  Feature,
  type FeatureWords,
  featureWords,
  Interrupt,
} from "../spec.ts";
import { SplitQueue } from "../queue/split.ts";

/** It is loaded where it is offered only. */
type PackedQueueClass = typeof import("../queue/packed.ts").PackedQueue;

/** What an activated needs around it. */
export interface ActivatedDeviceOptions {
  /** The device's registers, shared with the vCPU threads. */
  state: DeviceState;
  /** The guest's RAM. */
  memory: GuestMemory;
  /** Where descriptors are waited for. */
  loop: EventLoop;
  /**
   * Raises the device's interrupt. `source` is the queue whose used ring
   * grew, or {@linkcode CONFIG_SOURCE}: transports may tell them apart.
   */
  raiseInterrupt(source: number): void;
  /** The driver changed the transport's own registers. */
  transportChanged?(): void;
  /** A driver begins to use the device, or goes on with it. */
  activated?(): void;
  /** Packed virtqueues, to be offered (`VIRTIO_F_RING_PACKED`). */
  packed?: PackedQueueClass | undefined;
  /** It is {@linkcode ActivatedDevice.restore | restored} before it is shown. */
  restored?: boolean;
  /** What is told of the device's work; default: nothing. */
  record?: DeviceRecord;
  /** Tells a human why a device needs a reset. */
  log(message: string): void;
}

/** A packed queue's first position: slot 0, wrap counter 1 (§2.8.1). */
const PACKED_START = 0x8000;
/** What is the queue's own of its state; the rest follows from features. */
type QueuePlace = Omit<QueueState, "eventIdx" | "indirect">;

/** Lines about a device after which a hostile driver gets no more. */
const LOG_MAX = 20;

/** Source of an interrupt that is no queue: a change of the configuration. */
export const CONFIG_SOURCE = -1;

/** One device with its queues. */
export class ActivatedDevice implements DeviceContext {
  /** The device behind this activated. */
  readonly device: VirtioDevice;
  /** The guest's RAM. */
  readonly memory: GuestMemory;
  /** The device's queues; packed ones where the driver has chosen so. */
  readonly queues: VirtQueue[];
  readonly record: DeviceRecord | undefined;
  readonly #options: ActivatedDeviceOptions;
  readonly #state: DeviceState;
  // Both kinds of each queue, as far as they were needed: the device uses the
  // chains of either for both.
  readonly #made: VirtQueue[] = [];
  #logged = 0;

  /**
   * Describes the device in its registers and attaches it. From then on it is
   * this object's to close; if it can't be attached, it stays its maker's.
   */
  constructor(device: VirtioDevice, options: ActivatedDeviceOptions) {
    this.device = device;
    this.#options = options;
    this.#state = options.state;
    this.memory = options.memory;
    this.record = options.record;
    this.queues = device.queueSizes.map((_, index) => this.#queue(index));
    const { deviceId, queueSizes, config } = device;
    const features = this.#features(device.features);
    this.#state.offer(deviceId, features, queueSizes, config);
    if (!options.restored) this.#state.show();
    using queues = new DisposableStack(); // unless all goes well
    queues.defer(() => this.#freeQueues());
    device.attach(this);
    queues.move();
  }

  /** Watches the doorbell of queue `index`. */
  watchDoorbell(index: number, eventfd: number): void {
    // Edge-triggered: each ring is an event of its own, and nobody has to
    // read the counter.
    const events = Events.IN | Events.ET;
    const onReady = () => this.doorbell(index);
    this.#options.loop.watch(eventfd, { onReady }, events);
  }

  /** Carries out the transport's request, if there is one. */
  serve(): void {
    const { words } = this.#state;
    const request = Atomics.load(words, DeviceWord.REQUEST);
    if (request === Request.NONE) return;
    this.#carryOut(request);
    Atomics.store(words, DeviceWord.REQUEST, Request.NONE);
    Atomics.notify(words, DeviceWord.REQUEST);
  }

  /** The driver rang the doorbell of queue `index`. */
  doorbell(index: number): void {
    const queue = this.queues[index];
    if (queue === undefined || !queue.live) return; // §4.2.3.3: not set up
    this.record?.served(index, true);
    this.#notify(queue);
    this.checkQueues();
  }

  /** Looks at queues and completions; true when there was work. */
  poll(): boolean {
    let worked = false;
    for (let i = 0; i < this.queues.length; i++) {
      const queue = this.queues[i]!;
      if (!queue.due) continue;
      this.record?.served(i, false);
      this.#notify(queue);
      worked = true;
    }
    if (this.device.poll?.()) worked = true;
    if (worked) this.checkQueues();
    return worked;
  }

  /** Before the thread sleeps. True when it must not: there is work. */
  enable(): boolean {
    let work = this.device.enable?.() ?? false;
    for (let i = 0; i < this.queues.length; i++) {
      if (this.queues[i]!.enable()) work = true;
    }
    return work;
  }

  /** Puts the device into `DEVICE_NEEDS_RESET` if a queue broke. */
  checkQueues(): void {
    for (let i = 0; i < this.queues.length; i++) {
      const queue = this.queues[i]!;
      if (queue.broken !== undefined) {
        this.needsReset(`queue ${queue.index}: ${queue.broken}`);
      }
    }
  }

  /** Passes a command from outside the guest to the device. */
  command(command: unknown): unknown {
    if (this.device.command === undefined) {
      throw new VireoError(
        `virtio device ${this.device.deviceId}: no commands`,
      );
    }
    const answer = this.device.command(command);
    this.checkQueues(); // the device may have looked at its queues
    return answer;
  }

  /**
   * All of the device, while vCPUs and this thread are paused. Then it does
   * nothing until {@linkcode resume}.
   *
   * @throws {VireoError} it is of a kind that can't be saved
   */
  save(): SavedDevice {
    const { device } = this;
    if (device.quiesce) device.quiesce();
    else if (this.#state.words[DeviceWord.ACTIVE] === 1) {
      throw new VireoError("can't be saved: the device has no quiesce()");
    }
    const queues = this.queues.map((queue) => queue.live ? queue.save() : null);
    const page = this.#state.page.slice();
    return { page, queues, data: structuredClone(device.save?.()) };
  }

  /** After {@linkcode save} or {@linkcode restore}: queues may have chains. */
  resume(): void {
    for (const queue of this.queues) if (queue.live) this.#notify(queue);
    this.checkQueues();
  }

  /**
   * Is as saved, and does nothing until {@linkcode resume}; a vCPU that runs
   * already waits for that. It was reset before, unless it is new.
   *
   * @throws {VireoError} that is not this device's state
   */
  restore(saved: SavedDevice): void {
    this.#state.restore(saved);
    this.#restore(saved);
    this.#state.show();
  }

  #restore(saved: SavedDevice): void {
    if (this.#state.words[DeviceWord.ACTIVE] !== 1) return;
    saved.queues.forEach((queue, index) => {
      if (queue) this.#activateQueue(index, queue);
    });
    const broken = this.queues.find((queue) => queue.broken !== undefined);
    if (broken) throw new VireoError(`queue ${broken.index}: ${broken.broken}`);
    if (this.device.restore) this.device.restore(saved.data);
    else this.device.activate();
    this.#options.activated?.();
    // What was raised last may not have reached the guest.
    const { raiseInterrupt } = this.#options;
    const status = this.#state.words[DeviceWord.INTERRUPT_STATUS]!;
    if (status & Interrupt.CONFIG_CHANGE) raiseInterrupt(CONFIG_SOURCE);
    if (!(status & Interrupt.USED_BUFFER)) return;
    for (const index of this.queues.keys()) raiseInterrupt(index);
  }

  /** Resets and closes the device. */
  close(): void {
    using all = new DisposableStack(); // in reverse; what throws stops none
    all.defer(() => this.#freeQueues());
    all.defer(() => this.device.close());
    all.defer(() => this.reset());
  }

  /** Waits for what is in flight, and lets go of the RAM. */
  reset(): void {
    this.device.reset();
    for (const queue of this.queues) queue.deactivate();
  }

  hasFeature(bit: number): boolean {
    return this.#state.hasFeature(bit);
  }

  publish(queue: VirtQueue): void {
    const wanted = queue.publish() || queue.interruptOwed;
    queue.interruptOwed = false;
    this.record?.published(queue);
    if (wanted) this.#interrupt(Interrupt.USED_BUFFER, queue.index);
  }

  get config(): Uint8Array {
    return this.#state.config;
  }

  configChanged(change: (config: Uint8Array) => void): void {
    // The generation is odd while the fields change, so a driver that reads
    // in between sees a different one afterwards (§2.5.3).
    Atomics.add(this.#state.words, DeviceWord.CONFIG_GENERATION, 1);
    change(this.#state.config);
    Atomics.add(this.#state.words, DeviceWord.CONFIG_GENERATION, 1);
    if (this.#state.words[DeviceWord.ACTIVE] === 1) {
      this.#interrupt(Interrupt.CONFIG_CHANGE, CONFIG_SOURCE);
    }
  }

  needsReset(reason: string): void {
    if (!this.#state.setNeedsReset()) return;
    this.record?.step("needs-reset", reason);
    if (this.#logged++ < LOG_MAX) {
      this.#options.log(`virtio device ${this.device.deviceId}: ${reason}`);
    }
    this.#interrupt(Interrupt.CONFIG_CHANGE, CONFIG_SOURCE); // §2.1.2
  }

  watch(fd: number, watcher: Watcher, events?: number): void {
    const onReady = (events: number) => {
      watcher.onReady(events);
      this.checkQueues(); // the device may have looked at its queues
    };
    this.#options.loop.watch(fd, { onReady }, events);
  }

  modifyWatch(fd: number, events: number): void {
    this.#options.loop.modify(fd, events);
  }

  unwatch(fd: number): void {
    this.#options.loop.unwatch(fd);
  }

  /**
   * Each time, the device has to ask anew. Else chains that it has no use for,
   * such as receive buffers while there is nothing to receive, would be found
   * by every poll and before every sleep.
   */
  #notify(queue: VirtQueue): void {
    queue.complete();
    this.device.notify(queue);
  }

  #carryOut(request: number): void {
    const { words } = this.#state;
    switch (request) {
      case Request.ACTIVATE:
        return this.#activate();
      case Request.RESET:
        this.record?.step("reset");
        return this.reset();
      case Request.QUEUE_STOP:
        return this.#stopQueue(words[DeviceWord.REQUEST_VALUE]!);
      case Request.QUEUE_START:
        return this.#startQueue(words[DeviceWord.REQUEST_VALUE]!);
      case Request.TRANSPORT:
        return this.#options.transportChanged?.();
      case Request.CONFIG_WRITE:
        this.device.writeConfig?.(
          words[DeviceWord.REQUEST_OFFSET]!,
          words[DeviceWord.REQUEST_SIZE]!,
          words[DeviceWord.REQUEST_VALUE]! >>> 0,
        );
        return;
    }
  }

  /** The device's own features, and those that are the queues'. */
  #features([low, high]: FeatureWords): FeatureWords {
    const queues = this.#options.packed ? [Feature.RING_PACKED] : [];
    const [more, evenMore] = featureWords(Feature.RING_RESET, ...queues);
    return [(low | more) >>> 0, (high | evenMore) >>> 0];
  }

  /** Queue `index`, not live yet, of the kind that was negotiated. */
  #queue(index: number): VirtQueue {
    const { packed = SplitQueue } = this.#options; // only offered if there
    const Queue = this.hasFeature(Feature.RING_PACKED) ? packed : SplitQueue;
    const existing = this.#made.find((queue) =>
      queue.index === index && queue instanceof Queue
    );
    if (existing !== undefined) return existing;
    const size = this.device.queueSizes[index]!;
    const queue = new Queue(index, size, this.memory);
    this.#made.push(queue);
    return queue;
  }

  #activate(): void {
    for (const index of this.queues.keys()) this.#startQueueAnew(index);
    this.record?.step("activated");
    this.#options.activated?.();
    this.device.activate();
    this.checkQueues();
  }

  /** Where the driver's registers say, if it is to be on. */
  #startQueueAnew(index: number): void {
    const state = this.#state;
    this.queues[index] = this.#queue(index);
    if (state.queue(index, QueueWord.READY) !== 1) return;
    const start = this.hasFeature(Feature.RING_PACKED) ? PACKED_START : 0;
    this.#activateQueue(index, {
      size: state.queue(index, QueueWord.SIZE),
      desc: state.queueAddress(index, QueueWord.DESC),
      avail: state.queueAddress(index, QueueWord.DRIVER),
      used: state.queueAddress(index, QueueWord.DEVICE),
      nextAvail: start,
      nextUsed: start,
    });
    this.checkQueues();
  }

  #activateQueue(index: number, at: QueuePlace): void {
    const queue = this.queues[index] = this.#queue(index);
    queue.activate({
      ...at,
      eventIdx: this.hasFeature(Feature.EVENT_IDX),
      indirect: this.hasFeature(Feature.INDIRECT_DESC),
    });
  }

  #stopQueue(index: number): void {
    const queue = this.queues[index];
    if (queue === undefined) return;
    this.device.reset(queue);
    queue.deactivate();
  }

  /** §2.6.1.2: a queue that was reset is set up anew. */
  #startQueue(index: number): void {
    const queue = this.queues[index];
    if (queue === undefined || queue.live) return;
    this.#startQueueAnew(index);
    this.doorbell(index);
  }

  #freeQueues(): void {
    for (const queue of this.#made) queue.close();
  }

  #interrupt(bit: number, source: number): void {
    Atomics.or(this.#state.words, DeviceWord.INTERRUPT_STATUS, bit);
    this.#options.raiseInterrupt(source);
    this.record?.interrupted(source);
  }
}
