/**
 * One input of the fuzzer: a seed, and what a driver that breaks every rule
 * makes of it. The same seed does the same again.
 *
 * @module
 */
import { libc } from "../../ffi/libc.ts";
import { Layout, MiB } from "../../guest/layout.ts";
import { GuestMemory } from "../../guest/memory.ts";
import { Random } from "../../guest/testing/random.ts";
import { MmioRegister } from "../../devices/virtio/transport/mmio.ts";
import {
  Feature,
  type FeatureWords,
  Status,
} from "../../devices/virtio/spec.ts";
import { MockDriver } from "../../devices/virtio/testing/mod.ts";
import type { DriverBuffer } from "../../devices/virtio/testing/queue.ts";
import type { MakeSubject, Part, Subject } from "./subject.ts";

/** How the driver reaches the device. */
export type TransportName = "mmio" | "pci";

const RAM = 4 * MiB;
/** Where attackers point besides their own buffers. */
const ODD_ADDRESSES = [
  0,
  RAM - 1,
  RAM,
  Layout.MMIO_HOLE,
  Layout.RAM_ABOVE_4G,
  2 ** 53,
  2 ** 64 - 4096,
];
const STEPS = 60;
/** No step may take longer of the core, in milliseconds. */
const PATIENCE = 1000;
/** Nor by the clock; but others may have the core for a while. */
const STUCK = 60_000;
const CLOCK_THREAD_CPUTIME_ID = 3;

/** Runs the input that `seed` is. Throws what the device must not do. */
export function runInput(
  make: MakeSubject,
  transport: TransportName,
  seed: number,
): void {
  const random = new Random(seed);
  using memory = GuestMemory.allocate(RAM, { hugePages: false });
  using subject = make(memory, random);
  using driver = new MockDriver(subject.device, {
    memory,
    transport,
    packed: random.oneIn(2),
    awake: random.oneIn(2),
  });
  const attack = new Attack(driver, subject, random);
  attack.start();
  for (let step = 0; step < STEPS; step++) {
    const [worked, begun] = [work(), performance.now()];
    attack.step();
    const took = work() - worked;
    if (took > PATIENCE || performance.now() - begun > STUCK) {
      throw new Error(`step ${step} took ${took} ms`);
    }
  }
  driver.start(); // reset, all features
  subject.prove(driver);
}

/** What this thread has had of cores, in milliseconds. */
function work(): number {
  const time = new BigInt64Array(2); // struct timespec
  libc.clock_gettime(CLOCK_THREAD_CPUTIME_ID, new Uint8Array(time.buffer));
  return Number(time[0]) * 1000 + Number(time[1]) / 1e6;
}

/** A hostile driver of one device. */
class Attack {
  readonly #driver: MockDriver;
  readonly #subject: Subject;
  readonly #random: Random;

  constructor(driver: MockDriver, subject: Subject, random: Random) {
    this.#driver = driver;
    this.#subject = subject;
    this.#random = random;
  }

  /** §3.1.1, with some of the features and any queue sizes. */
  start(): void {
    const driver = this.#driver;
    const random = this.#random;
    const offered = driver.offered;
    const [low, high] = random.oneIn(3) ? offered : this.#some(offered);
    const version = 1 << (Feature.VERSION_1 - 32);
    driver.negotiate([low, random.oneIn(30) ? high : (high | version) >>> 0]);
    driver.rings.length = 0;
    driver.queues.length = 0;
    const packed = driver.state.hasFeature(Feature.RING_PACKED);
    for (const { index, maxSize } of driver.activated.queues) {
      const size = random.of([1, 2, 8, 64, maxSize]);
      driver.rings.push(
        packed
          ? driver.setUpPackedQueue(index, size)
          : driver.setUpQueue(index, size),
      );
    }
    driver.addStatus(Status.DRIVER_OK);
  }

  step(): void {
    const random = this.#random;
    switch (random.below(16)) {
      case 0:
      case 1:
        return this.#corrupt();
      case 2:
        return this.#register();
      case 3:
        return this.#subject.host(random);
      case 4:
        return void this.#driver.turn();
      case 5:
        return this.#take();
      case 6:
        if (random.oneIn(4)) this.start();
        return;
      case 7:
        return this.#resetQueue();
      default:
        return this.#request();
    }
  }

  #some([low, high]: FeatureWords): FeatureWords {
    const random = this.#random;
    return [
      (low & random.below(2 ** 32)) >>> 0,
      (high & random.below(2 ** 32)) >>> 0,
    ];
  }

  /** A request that makes sense, but for what is changed afterwards. */
  #request(): void {
    const random = this.#random;
    const driver = this.#driver;
    const ring = random.of(driver.rings);
    const parts = this.#subject.request(random, ring.index)
      .filter((part) => typeof part === "number" || part.length > 0);
    let buffers: DriverBuffer[];
    try {
      buffers = parts.map((part) => this.#place(part));
    } catch {
      return this.start(); // the guest's memory is used up
    }
    if (random.oneIn(10)) buffers.reverse();
    if (random.oneIn(12)) this.#spoil(random.of(buffers));
    if (buffers.length === 0) return;
    if (random.oneIn(3)) {
      const table = driver.allocate(16 * buffers.length);
      ring.addIndirect(buffers, table);
    } else ring.add(buffers);
    if (!random.oneIn(4)) driver.ring(ring.index);
  }

  #place(part: Part): DriverBuffer {
    return typeof part === "number"
      ? this.#driver.room(part)
      : this.#driver.buffer(part);
  }

  #spoil(buffer: DriverBuffer): void {
    const random = this.#random;
    if (random.oneIn(2)) buffer.address = random.of(ODD_ADDRESSES);
    else buffer.length = random.of([0, 1, RAM, 0xffff_ffff]);
    if (random.oneIn(3)) buffer.writable = !buffer.writable;
  }

  /** Writes anything at all over the rings. */
  #corrupt(): void {
    const random = this.#random;
    const ring = random.of(this.#driver.rings);
    const area = random.of([ring.desc, ring.avail, ring.used]);
    const { memory } = this.#driver;
    for (let count = 1 + random.below(4); count > 0; count--) {
      const at = area + 2 * random.below(random.oneIn(2) ? 4 : 4 * ring.size);
      const value = random.of([
        random.below(0x1_0000),
        random.below(ring.size),
        random.below(8),
        0x8080,
        0xffff,
      ]);
      const region = memory.find(at, 2);
      if (region) region.u16[(at - region.guestAddress) / 2] = value;
    }
    if (random.oneIn(2)) this.#driver.ring(ring.index);
  }

  /** Any access to the window, or to the function. */
  #access(): void {
    const random = this.#random;
    const { pci, transport } = this.#driver;
    const size = random.of([1, 2, 4]);
    const value = random.below(random.of([4, 0x100, 2 ** 32]));
    const write = random.oneIn(2);
    if (pci && random.oneIn(2)) {
      const offset = random.below(random.oneIn(4) ? 0x1000 : 0x100);
      if (write) pci.writeConfig(offset, size, value);
      else pci.readConfig(offset, size);
      return;
    }
    const space = pci ?? transport;
    const offset = random.below(pci ? pci.memorySize : 0x1000);
    if (write) space.write(offset, size, value);
    else space.read(offset, size);
  }

  #register(): void {
    const random = this.#random;
    if (random.oneIn(2)) return this.#access();
    const register = random.of([
      ...Object.values(MmioRegister),
      MmioRegister.Config + random.below(80),
      random.below(0x200),
    ]);
    const size = random.of([1, 2, 4, 4, 4]);
    if (random.oneIn(2)) this.#driver.get(register, size);
    else {
      const limit = random.of([4, 0x100, 2 ** 32]);
      this.#driver.set(register, random.below(limit), size);
    }
  }

  #take(): void {
    const ring = this.#random.of(this.#driver.rings);
    try {
      while (ring.poll() >= 0);
    } catch {
      // The mock's own books: what it did to the ring confuses it, too.
    }
    ring.armInterrupt();
  }

  #resetQueue(): void {
    const random = this.#random;
    const driver = this.#driver;
    const { index, size } = random.of(driver.rings);
    driver.set(MmioRegister.QueueSel, index);
    driver.set(MmioRegister.QueueReset, 1);
    if (random.oneIn(4)) return;
    driver.rings[index] = driver.state.hasFeature(Feature.RING_PACKED)
      ? driver.setUpPackedQueue(index, size)
      : driver.setUpQueue(index, size);
  }
}
