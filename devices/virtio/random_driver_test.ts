/**
 * A driver that does anything at all. Whatever it does: no exception, nothing
 * outside guest RAM reaches the host, and a reset makes the device work again.
 */
import assert from "node:assert/strict";
import { Errno } from "../../ffi/errno.ts";
import { Layout, MiB } from "../../guest/layout.ts";
import { GuestMemory } from "../../guest/memory.ts";
import { Random } from "../../guest/testing/random.ts";
import { MemoryBackend } from "../backends/testing/block.ts";
import { MemoryNet } from "../backends/testing/net.ts";
import { BlkType } from "./blk/spec.ts";
import { BlkDriver } from "./testing/blk.ts";
import { MmioRegister } from "./transport/mmio.ts";
import { assertFrames, frame, NetDriver, received } from "./testing/net.ts";
import type { MockDriver } from "./testing/mod.ts";
import { writeDescriptor } from "./testing/queue.ts";

const RAM = MiB;
const ROUNDS = 12_000;
const SEEDS = [1, 2, 3, 4];
/** Buffers and indirect tables go above the rings. */
const SCRATCH = RAM / 2;

/** Breaks every rule now and then; the fakes refuse what is not guest RAM. */
class Attacker {
  readonly random: Random;
  readonly #driver: MockDriver;

  constructor(driver: MockDriver, seed: number) {
    this.#driver = driver;
    this.random = new Random(seed);
  }

  /** One round: some descriptors, an available entry, a doorbell. */
  attack(): void {
    const { random } = this;
    const queue = random.of(this.#driver.queues);
    const first = random.below(queue.size);
    const plausible = random.oneIn(2);
    const count = plausible ? 3 : 1 + random.below(5);
    for (let i = 0; i < count; i++) {
      const index = (first + i) % queue.size;
      const flags = (i + 1 < count ? 1 : 0) |
        (i > 0 || random.oneIn(plausible ? 20 : 2) ? 2 : 0);
      queue.describe(
        index,
        plausible && i === 0 ? SCRATCH : this.#address(),
        plausible ? [16, 512 * (1 + random.below(4)), 1][i]! : this.#length(),
        random.oneIn(20) ? random.below(0x1_0000) : flags,
        random.oneIn(20) ? random.below(0x1_0000) : (index + 1) % queue.size,
      );
    }
    if (random.oneIn(4)) this.#table(queue.size, first);
    this.#header();
    queue.offer(random.oneIn(30) ? random.below(0x1_0000) : first);
    if (random.oneIn(60)) queue.availIdx = random.below(0x1_0000);
    if (random.oneIn(20)) queue.usedEvent = random.below(0x1_0000);
    if (random.oneIn(20)) queue.availFlags = random.below(0x1_0000);
    this.#driver.ring(queue.index);
    if (random.oneIn(4)) this.#driver.turn();
    if (random.oneIn(100)) this.#register();
  }

  #address(): number {
    const { random } = this;
    if (!random.oneIn(10)) return SCRATCH + random.below(RAM / 2 - 0x1000);
    return random.of([
      random.below(RAM),
      RAM - random.below(16),
      RAM,
      Layout.MMIO_HOLE,
      Layout.RAM_ABOVE_4G,
      2 ** 32 - 1,
      2 ** 53,
      2 ** 64 - 4096,
      random.below(2 ** 32) * 2 ** 32,
    ]);
  }

  #length(): number {
    const { random } = this;
    if (random.oneIn(20)) return random.of([0, 0xffff_ffff, RAM, 1]);
    return random.of([1, 12, 16, 512, 513, 1024, 1526, random.below(4096)]);
  }

  /** An indirect table, now and then a valid one. */
  #table(size: number, index: number): void {
    const { random } = this;
    const region = this.#driver.memory.regions[0]!;
    const table = SCRATCH + 4 * random.below(RAM / 16);
    const entries = 1 + random.below(random.oneIn(5) ? 2 * size : 8);
    for (let i = 0; i < entries; i++) {
      const more = i + 1 < entries ? 1 : 0;
      const flags = random.oneIn(40) ? random.below(8) : more | (i > 0 ? 2 : 0);
      const next = random.oneIn(40) ? random.below(0x1_0000) : i + 1;
      const at = table + i * 16;
      writeDescriptor(region, at, this.#address(), this.#length(), flags, next);
    }
    const bytes = random.oneIn(10) ? random.below(0x1_0000) : entries * 16;
    this.#driver.queues[0]!.describe(index, table, bytes, 4);
  }

  /** Plausible request headers: one at a known place, one anywhere. */
  #header(): void {
    const { random } = this;
    const header = new DataView(new ArrayBuffer(16));
    const { IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES } = BlkType;
    const types = [IN, IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES, 99];
    header.setUint32(0, random.of(types), true);
    header.setUint32(8, random.below(random.oneIn(9) ? 2 ** 32 : 2048), true);
    header.setUint32(12, random.oneIn(20) ? random.below(2 ** 32) : 0, true);
    const bytes = new Uint8Array(header.buffer);
    const region = this.#driver.memory.regions[0]!;
    region.u8.set(bytes, SCRATCH);
    region.u8.set(bytes, SCRATCH + random.below(RAM / 2 - 0x1000));
  }

  /** Any register but a reset, with any value. */
  #register(): void {
    const { random } = this;
    const register = random.of(Object.values(MmioRegister));
    this.#driver.set(register, 1 + random.below(random.of([8, 2 ** 32 - 1])));
  }
}

/** Attacks until the device wants a reset, again and again. */
function attackFor(
  rounds: number,
  attacker: Attacker,
  driver: MockDriver,
): number {
  let resets = 0;
  for (let i = 0; i < rounds; i++) {
    attacker.attack();
    if (driver.status !== 0xf || attacker.random.oneIn(500)) {
      const queueSize = attacker.random.of([1, 2, 8, 64, 256]);
      driver.start({ queueSize });
      resets++;
    }
  }
  return resets;
}

for (const seed of SEEDS) {
  const awake = seed % 2 === 0;
  Deno.test(`blk: a random driver does no harm, seed ${seed}`, () => {
    using memory = GuestMemory.allocate(RAM, { hugePages: false });
    const disk = new MemoryBackend(memory, MiB);
    using driver = new BlkDriver(disk, { memory, awake });
    const attacker = new Attacker(driver, seed);
    const { random } = attacker;
    let operations = 0;
    disk.answer = ({ ranges }) => {
      operations++;
      disk.operations.length = 0;
      if (!random.oneIn(8)) return undefined;
      const bytes = ranges.reduce((sum, range) => sum + range.length, 0);
      const short = 1 + random.below(Math.max(1, bytes));
      return random.of([-Errno.EIO, -Errno.EINTR, -Errno.ENOSPC, short, 0]);
    };
    for (let part = 0; part < 10; part++) {
      disk.held = random.oneIn(2);
      const resets = attackFor(ROUNDS / 10, attacker, driver);
      assert.ok(resets > 5, "rules were broken");
      if (disk.inFlight.length > 0) disk.release();
    }
    assert.ok(operations > 500, `rules were kept, too: ${operations}`);

    disk.held = false;
    disk.answer = () => undefined;
    disk.content.fill(0x3c, 512, 1024);
    driver.start();
    const read = driver.read(1);
    assert.deepEqual(driver.complete(read), [513]);
    assert.equal(driver.statusOf(read), 0);
    assert.deepEqual(driver.dataOf(read), disk.content.slice(512, 1024));
  });

  Deno.test(`net: a random driver does no harm, seed ${seed}`, () => {
    using memory = GuestMemory.allocate(RAM, { hugePages: false });
    using net = new MemoryNet(memory);
    using driver = new NetDriver(net, { memory, awake });
    const attacker = new Attacker(driver, seed);
    const { random } = attacker;
    let sent = 0;
    for (let part = 0; part < 100; part++) {
      const sizes = Array.from({ length: 20 }, () => random.below(3000));
      net.deliver(...sizes.map((size) => frame(size)), frame(65_000));
      net.room = random.oneIn(3) ? random.below(20) : Infinity;
      attackFor(ROUNDS / 100, attacker, driver);
      sent += net.sent.splice(0).length;
    }
    assert.ok(sent > 500, `rules were kept, too: ${sent}`);
    assert.ok(net.receives > 500, `and buffers posted: ${net.receives}`);

    net.room = Infinity;
    net.waiting.length = 0;
    driver.start();
    driver.post(70, 1526);
    net.deliver(frame(60));
    driver.turn();
    assertFrames(driver.frames(), [received(frame(60))]);
    driver.queueFrame(frame(70));
    driver.ring(1);
    assertFrames(net.sent, [frame(70)]);
  });
}
