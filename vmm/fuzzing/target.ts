/**
 * The device whose driver is fuzzed: it answers as a device of one's own does,
 * in this thread, and its answers are changed on their way.
 *
 * @module
 */
import type { BusDevice } from "../../devices/bus.ts";
import { OwnCode } from "../../devices/own/code.ts";
import {
  type PlainContext,
  type PlainDevice,
  type PlainPlace,
  readValue,
} from "../../devices/own/plain.ts";
import type { SavedDevice, VirtioDevice } from "../../devices/virtio/device.ts";
import type { MakerContext } from "../../devices/virtio/maker.ts";
import { guarded } from "../../devices/virtio/own_device.ts";
import type { DescriptorChain } from "../../devices/virtio/queue/chain.ts";
import type { VirtQueue } from "../../devices/virtio/queue/queue.ts";
import { ActivatedDevice } from "../../devices/virtio/transport/activated_device.ts";
import {
  DeviceState,
  DeviceWord,
  Request,
} from "../../devices/virtio/transport/device_state.ts";
import { MmioTransport } from "../../devices/virtio/transport/mmio.ts";
import { EventLoop } from "../../devices/runtime/event_loop.ts";
import { VireoError } from "../../ffi/error.ts";
import { Layout } from "../../guest/layout.ts";
import type { Answers } from "./answers.ts";
import type { ReplicaDevice, ReplicaParts } from "./replica.ts";

/** Looks at a device after a doorbell, each of which does something. */
const TURNS = 10_000;

/** An access of the driver's, before it is answered. */
export interface Access {
  /** From the device's first register on. */
  offset: number;
  /** Bytes. */
  size: number;
  /** What is written; undefined: it is a read. */
  value: number | undefined;
}

/** Called before each access is answered. */
export type OnAccess = (access: Access) => void;

/** A driver's accesses on their way to a device. */
class Watched implements BusDevice {
  readonly #device: BusDevice;
  readonly #answers: Answers;
  readonly #onAccess: OnAccess;

  constructor(device: BusDevice, answers: Answers, onAccess: OnAccess) {
    this.#device = device;
    this.#answers = answers;
    this.#onAccess = onAccess;
  }

  read(offset: number, size: number): number {
    this.#onAccess({ offset, size, value: undefined });
    const value = this.#device.read(offset, size);
    return this.#answers.register(offset, size, value);
  }

  write(offset: number, size: number, value: number): void {
    this.#onAccess({ offset, size, value });
    this.#device.write(offset, size, value);
  }
}

function never(): never {
  throw new VireoError("fuzz: a device has no timers and descriptors here");
}

function noPromise(): never {
  throw new VireoError("fuzz: the device's answers can't be promises");
}

/** A model's code: what it throws ends fuzzing, and nothing of it comes later. */
class ModelCode extends OwnCode {
  override call(step: () => unknown): void {
    if (step() instanceof Promise) noPromise();
  }
  override log(): void {}
  override emit(): void {}
  override setTimer = never;
}

/** A virtio device in its window, whose state is that of `saved`. */
export function virtioTarget(
  index: number,
  model: VirtioDevice,
  { snapshot, config, memory, vm }: ReplicaParts,
  answers: Answers,
  onAccess: OnAccess,
): ReplicaDevice {
  const { window, gsi } = config.devices[index]!;
  const saved = snapshot.state.devices[index]!;
  const state = new DeviceState();
  using undo = new DisposableStack();
  const loop = undo.use(new EventLoop());
  const own = new ModelCode("fuzzed", "", { memory } as MakerContext);
  const activated = new ActivatedDevice(guarded(model, own), {
    state,
    memory,
    loop,
    raiseInterrupt() {
      vm.irqLine(gsi, true);
      vm.irqLine(gsi, false);
    },
    log: () => {},
  });
  undo.defer(() => activated.close());
  for (const queue of activated.queues) lie(queue, answers, memory);
  activated.restore(saved);
  const transport = new MmioTransport(state, {
    requestReady: () => activated.serve(),
    notify(queue) {
      activated.doorbell(queue);
      // Nothing comes later: what the device does, it does now.
      for (let turns = 0; turns < TURNS && activated.poll(); turns++);
    },
    stopping: () => false,
  });
  const kept = undo.move();
  let point: SavedDevice | undefined;
  return {
    place: {
      space: "mmio",
      address: window,
      size: Layout.VIRTIO_MMIO_SIZE,
      device: new Watched(transport, answers, onAccess),
    },
    capture: () => {
      point = activated.save();
    },
    reset() {
      activated.reset();
      activated.restore(point!);
    },
    [Symbol.dispose]: () => kept.dispose(),
  };
}

/** What a queue gives back is an answer, and so is what is in the buffers. */
function lie(
  queue: VirtQueue,
  answers: Answers,
  memory: ReplicaParts["memory"],
): void {
  const [pop, push] = [queue.pop.bind(queue), queue.push.bind(queue)];
  const buffers = new Map<number, [address: number, length: number][]>();
  const element = new DataView(new ArrayBuffer(8));
  const bytes = new Uint8Array(element.buffer);
  queue.pop = (chain: DescriptorChain) => {
    if (!pop(chain)) return false;
    const { writable } = chain;
    const parts = Array.from(
      { length: writable.count },
      (_, i): [number, number] => [
        writable.guestAddressAt(i),
        writable.lengthAt(i),
      ],
    );
    buffers.set(chain.head, parts);
    return true;
  };
  queue.push = (head: number, written: number) => {
    let rest = written;
    for (const [address, length] of buffers.get(head) ?? []) {
      const size = Math.min(rest, length);
      if (size <= 0) break;
      answers.bytes("data", queue.index, memory.bytes(address, size));
      rest -= size;
    }
    buffers.delete(head);
    element.setUint32(0, head, true);
    element.setUint32(4, written, true);
    answers.bytes("used", queue.index, bytes);
    push(element.getUint32(0, true), element.getUint32(4, true));
  };
}

/** A device that has its registers, and does nothing. */
export function idleDevice(
  index: number,
  { snapshot, config }: ReplicaParts,
): ReplicaDevice {
  const { window } = config.devices[index]!;
  const state = new DeviceState();
  const saved = new Int32Array(
    snapshot.state.devices[index]!.page.slice().buffer,
  );
  state.words.set(saved);
  const transport = new MmioTransport(state, {
    requestReady() {
      state.words[DeviceWord.REQUEST] = Request.NONE;
    },
    notify: () => {},
    stopping: () => true,
  });
  let point = saved;
  return {
    place: {
      space: "mmio",
      address: window,
      size: Layout.VIRTIO_MMIO_SIZE,
      device: transport,
    },
    capture: () => {
      point = state.words.slice();
    },
    reset: () => state.words.set(point),
    [Symbol.dispose]() {},
  };
}

/** A plain device at its place; `gsi` is where it raises edges, if it does. */
export function plainTarget(
  place: Pick<PlainPlace, "space" | "address" | "size">,
  gsi: number | undefined,
  model: PlainDevice,
  { memory, vm }: ReplicaParts,
  answers: Answers,
  onAccess: OnAccess,
): ReplicaDevice {
  const read = (offset: number, size: number) => {
    const value = model.read(offset, size);
    return typeof value === "number" ? readValue(value, size) : noPromise();
  };
  const write = (offset: number, size: number, value: number) =>
    void model.write(offset, size, value);
  const context: PlainContext = {
    ...{ name: "fuzzed", memory, shared: new SharedArrayBuffer(0) },
    raise() {
      if (gsi === undefined) return;
      vm.irqLine(gsi, true);
      vm.irqLine(gsi, false);
    },
    lower() {},
    log() {},
    emit() {},
    ...{ setTimer: never, watch: never, modifyWatch: never, unwatch: never },
  };
  model.attach?.(context);
  let point: unknown;
  return {
    place: {
      ...place,
      device: new Watched({ read, write }, answers, onAccess),
    },
    capture: () => {
      point = structuredClone(model.save?.());
    },
    reset: () => model.restore?.(structuredClone(point)),
    [Symbol.dispose]: () => model.close?.(),
  };
}
