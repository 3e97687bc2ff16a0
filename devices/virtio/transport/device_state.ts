/**
 * What a transport knows about one device, in shared memory: the vCPU threads
 * answer register accesses from it, the device worker reads the queues'
 * addresses and sets InterruptStatus. Plain words, so a snapshot is a copy.
 *
 * It is a page, which a virtio-mmio driver reads as its window (§4.2.2): without
 * an exit, where the guest has it as memory. What is behind the configuration
 * space is no secret: the driver has said it, or can ask for it.
 *
 * @module
 */
import { VireoError } from "../../../ffi/error.ts";
import type { SavedDevice } from "../device.ts";
import {
  Feature,
  type FeatureWords,
  MAX_CONFIG,
  MAX_QUEUES,
  Status,
} from "../spec.ts";

const SIZE = 4096; // a page
const CONFIG_BYTES = 0x100;
const OWN = (CONFIG_BYTES + MAX_CONFIG) / 4; // words that are no registers

/** Indexes of 32-bit words. */
export const DeviceWord = {
  MAGIC_VALUE: 0x000 >> 2,
  VERSION: 0x004 >> 2,
  DEVICE_ID: 0x008 >> 2,
  VENDOR_ID: 0x00c >> 2,
  /** The half of the offered features that is selected. */
  SELECTED_FEATURES: 0x010 >> 2,
  /** The selected queue's. */
  SELECTED_MAX_SIZE: 0x034 >> 2,
  SELECTED_READY: 0x044 >> 2,
  INTERRUPT_STATUS: 0x060 >> 2,
  STATUS: 0x070 >> 2,
  /** Length and base of the selected shared memory, 64 bits each. */
  SHARED_MEMORY: 0x0b0 >> 2,
  CONFIG_GENERATION: 0x0fc >> 2,

  DEVICE_FEATURES_SEL: OWN + 4,
  DRIVER_FEATURES_SEL: OWN + 5,
  DEVICE_FEATURES: OWN + 6,
  DRIVER_FEATURES: OWN + 8,
  QUEUE_SEL: OWN + 10,
  QUEUE_COUNT: OWN + 11,
  CONFIG_SIZE: OWN + 12,
  /** What the transport asks of the device: one of {@linkcode Request}. */
  REQUEST: OWN + 13,
  REQUEST_OFFSET: OWN + 14,
  REQUEST_SIZE: OWN + 15,
  REQUEST_VALUE: OWN + 16,
  /** 1 while a vCPU changes the status or makes a request. */
  LOCK: OWN + 17,
  /** 1 between activation and reset. */
  ACTIVE: OWN + 18,
  /** 1 + the MSI-X vector of configuration changes; 0: none. */
  CONFIG_VECTOR: OWN + 19,
  /**
   * 1 while nobody sees that the driver acknowledges used buffers: their bit in
   * InterruptStatus then stays.
   */
  UNSEEN_ACK: OWN + 20,
} as const;

/** Word offsets within one queue's registers. */
export const QueueWord = {
  MAX_SIZE: 0,
  SIZE: 1,
  READY: 2,
  DESC: 3,
  DRIVER: 5,
  DEVICE: 7,
  /** 1 + the MSI-X vector of the queue's interrupts; 0: none. */
  VECTOR: 9,
} as const;

/** What a transport asks of a device. The device clears the word when done. */
export const Request = {
  NONE: 0,
  ACTIVATE: 1,
  RESET: 2,
  CONFIG_WRITE: 3,
  QUEUE_STOP: 4,
  QUEUE_START: 5,
  /** The transport's own registers changed: a BAR, an interrupt vector. */
  TRANSPORT: 6,
} as const;

/** What a device doesn't change while it is the same. */
const SAME = [
  [DeviceWord.QUEUE_COUNT, "number of queues"],
  [DeviceWord.CONFIG_SIZE, "configuration space"],
] as const;

const QUEUES = OWN + 32;
const QUEUE_STRIDE = 10;

const MAGIC = 0x74726976; // "virt"
const VERSION = 2;
const VENDOR = 0x6f657256; // "Vreo"
const NO_SHARED_MEMORY = -1;

/** Where a device's page is, to hand to other threads. */
export interface DevicePlace {
  /** The pages of several devices, one behind the other. */
  readonly shared: SharedArrayBuffer;
  /** Where this one begins there. */
  readonly offset: number;
  /** The same in this process's memory: a multiple of the size of a page. */
  readonly address: number;
}

/** Pages for `count` devices. */
export function devicePlaces(count: number): DevicePlace[] {
  const shared = new SharedArrayBuffer((count + 1) * SIZE);
  const pointer = Deno.UnsafePointer.of(new Uint8Array(shared));
  const start = Number(Deno.UnsafePointer.value(pointer));
  return Array.from({ length: count }, (_, index) => {
    const offset = (-start & (SIZE - 1)) + index * SIZE;
    return { shared, offset, address: start + offset };
  });
}

/** One thread's view of a device's page. */
export class DeviceState {
  /** The page, as bytes. */
  readonly page: Uint8Array;
  /** The page as words; indexes are {@linkcode DeviceWord}. */
  readonly words: Int32Array;
  /** The device configuration space (§2.5), as far as the device has one. */
  readonly config: Uint8Array;
  #deviceId = 0; // as described

  /** Views the page there, or a new one of zeros. */
  constructor(place: DevicePlace = devicePlaces(1)[0]!) {
    const { shared, offset } = place;
    this.page = new Uint8Array(shared, offset, SIZE);
    this.words = new Int32Array(shared, offset, SIZE / 4);
    this.config = new Uint8Array(shared, offset + CONFIG_BYTES, MAX_CONFIG);
  }

  /** Fills in what the device offers; a driver that looks waits. */
  offer(
    deviceId: number,
    features: FeatureWords,
    queueSizes: readonly number[],
    config: Uint8Array,
  ): void {
    if (queueSizes.length > MAX_QUEUES || config.length > MAX_CONFIG) {
      throw new RangeError(`device ${deviceId}: too many queues or config`);
    }
    const { words } = this;
    this.#describeWindow();
    words[DeviceWord.DEVICE_FEATURES] = features[0];
    words[DeviceWord.DEVICE_FEATURES + 1] = features[1] |
      (1 << (Feature.VERSION_1 - 32));
    words[DeviceWord.QUEUE_COUNT] = queueSizes.length;
    words[DeviceWord.CONFIG_SIZE] = config.length;
    queueSizes.forEach((size, index) => {
      words[queueWord(index, QueueWord.MAX_SIZE)] = size;
    });
    this.config.set(config);
    this.select();
    this.#deviceId = deviceId | 0; // as a word has it
  }

  #describeWindow(): void {
    const { words } = this;
    words[DeviceWord.MAGIC_VALUE] = MAGIC;
    words[DeviceWord.VERSION] = VERSION;
    words[DeviceWord.VENDOR_ID] = VENDOR;
    const first = DeviceWord.SHARED_MEMORY;
    words.fill(NO_SHARED_MEMORY, first, first + 4);
  }

  /** The half of 64 bits of features that `selector` has; others are 0. */
  half(features: number, selector: number): number {
    const half = this.words[selector]! >>> 0;
    return half < 2 ? this.words[features + half]! >>> 0 : 0;
  }

  /** Shows what the selectors select; nothing has zeros. */
  select(): void {
    const { words } = this;
    words[DeviceWord.SELECTED_FEATURES] = this.half(
      DeviceWord.DEVICE_FEATURES,
      DeviceWord.DEVICE_FEATURES_SEL,
    );
    const queue = words[DeviceWord.QUEUE_SEL]! >>> 0;
    const exists = queue < words[DeviceWord.QUEUE_COUNT]!;
    const at = queueWord(exists ? queue : MAX_QUEUES, 0); // behind the last
    words[DeviceWord.SELECTED_MAX_SIZE] = words[at + QueueWord.MAX_SIZE]!;
    words[DeviceWord.SELECTED_READY] = words[at + QueueWord.READY]!;
  }

  /** Last: from now on the device is there. */
  show(): void {
    Atomics.store(this.words, DeviceWord.DEVICE_ID, this.#deviceId);
    Atomics.notify(this.words, DeviceWord.DEVICE_ID);
  }

  /**
   * Takes a saved page over; what is offered stays as described, and so does
   * the configuration space of a device that no driver uses. It is to be
   * shown then.
   *
   * @throws {VireoError} it is of another device, or the driver has accepted
   *   what this one doesn't offer
   */
  restore({ page, queues }: SavedDevice): void {
    const { words } = this;
    const what = `virtio device ${this.#deviceId}`;
    if (!(page instanceof Uint8Array) || page.length !== SIZE) {
      throw new VireoError(`${what}: no such state`);
    }
    const saved = new Int32Array(page.slice().buffer);
    if (saved[DeviceWord.DEVICE_ID] !== this.#deviceId) {
      throw new VireoError(`${what}: saved with another device id`);
    }
    for (const [word, name] of SAME) {
      if (saved[word] === words[word]) continue;
      throw new VireoError(`${what}: saved with another ${name}`);
    }
    const count = words[DeviceWord.QUEUE_COUNT];
    if (
      !Array.isArray(queues) || queues.length !== count ||
      !queues.every(isQueue)
    ) {
      throw new VireoError(`${what}: no such state of its queues`);
    }
    for (const half of [0, 1]) {
      const accepted = saved[DeviceWord.DRIVER_FEATURES + half]!;
      const missing = accepted & ~words[DeviceWord.DEVICE_FEATURES + half]!;
      if (missing === 0) continue;
      const bit = 32 * half + 31 - Math.clz32(missing);
      throw new VireoError(`${what}: feature ${bit} is not offered any more`);
    }
    for (const half of [0, 1]) {
      const at = DeviceWord.DEVICE_FEATURES + half;
      saved[at] = words[at]!;
    }
    saved[DeviceWord.DEVICE_ID] = 0;
    saved[DeviceWord.REQUEST] = Request.NONE;
    saved[DeviceWord.LOCK] = 0;
    saved[DeviceWord.UNSEEN_ACK] = 0;
    if (saved[DeviceWord.ACTIVE] !== 1) {
      new Uint8Array(saved.buffer, CONFIG_BYTES).set(this.config);
    }
    words.set(saved);
    this.#describeWindow();
    this.select();
  }

  /** Reads one word of a queue's registers. */
  queue(index: number, word: number): number {
    return this.words[queueWord(index, word)]! >>> 0;
  }

  /** Reads a 64-bit ring address of a queue's registers as a number. */
  queueAddress(index: number, word: number): number {
    const at = queueWord(index, word);
    return (this.words[at]! >>> 0) +
      (this.words[at + 1]! >>> 0) * 0x1_0000_0000;
  }

  /** True when the driver has accepted feature bit `bit`. */
  hasFeature(bit: number): boolean {
    const word = this.words[DeviceWord.DRIVER_FEATURES + (bit >> 5)]!;
    return ((word >>> (bit & 31)) & 1) === 1;
  }

  /** The device status field (§2.1). */
  get status(): number {
    return Atomics.load(this.words, DeviceWord.STATUS);
  }

  /** Sets `DEVICE_NEEDS_RESET` (§2.1.2); true when it was clear before. */
  setNeedsReset(): boolean {
    const bit = Status.DEVICE_NEEDS_RESET;
    return (Atomics.or(this.words, DeviceWord.STATUS, bit) & bit) === 0;
  }

  /** The registers as they are after a device reset (§4.2.2). */
  clear(): void {
    const { words } = this;
    words[DeviceWord.DEVICE_FEATURES_SEL] = 0;
    words[DeviceWord.DRIVER_FEATURES_SEL] = 0;
    words[DeviceWord.DRIVER_FEATURES] = 0;
    words[DeviceWord.DRIVER_FEATURES + 1] = 0;
    words[DeviceWord.QUEUE_SEL] = 0;
    words[DeviceWord.CONFIG_VECTOR] = 0;
    const count = words[DeviceWord.QUEUE_COUNT]!;
    for (let index = 0; index < count; index++) this.clearQueue(index);
    this.select();
    Atomics.store(words, DeviceWord.INTERRUPT_STATUS, 0);
    Atomics.store(words, DeviceWord.ACTIVE, 0);
    Atomics.store(words, DeviceWord.STATUS, 0);
  }

  /** One queue's registers as they are after its reset (§2.6.1). */
  clearQueue(index: number): void {
    const first = queueWord(index, QueueWord.SIZE);
    this.words.fill(0, first, first + QUEUE_STRIDE - 1);
  }
}

/** What there is to it is checked where it is used: in RAM, aligned, in size. */
function isQueue(state: SavedDevice["queues"][0]): boolean {
  if (state === null) return true;
  const { size, desc, avail, used, nextAvail, nextUsed } = state ?? {};
  return [size, desc, avail, used, nextAvail, nextUsed]
    .every((value) => Number.isSafeInteger(value) && value! >= 0);
}

/** The index of a word of queue `index` in {@linkcode DeviceState.words}. */
export function queueWord(index: number, word: number): number {
  return QUEUES + index * QUEUE_STRIDE + word;
}
