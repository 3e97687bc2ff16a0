/** The block device's write cache, queues, limits and size. */
import assert from "node:assert/strict";
import { MiB } from "../../../guest/layout.ts";
import { GuestMemory } from "../../../guest/memory.ts";
import { MemoryBackend } from "../../backends/testing/block.ts";
import type { BlkOptions } from "./spec.ts";
import { BlkConfig, BlkFeature, BlkStatus, BlkType } from "./spec.ts";
import { BlkDriver, type BlkRequest } from "../testing/blk.ts";
import { MmioRegister } from "../transport/mmio.ts";
import { Interrupt } from "../spec.ts";
import type { StartOptions } from "../testing/mod.ts";

const { OK } = BlkStatus;
const { WRITE_ZEROES } = BlkType;
const { FLUSH, CONFIG_WCE, MQ, TOPOLOGY } = BlkFeature;
const WRITEBACK = MmioRegister.Config + BlkConfig.writeback;

interface Setup extends Disposable {
  disk: MemoryBackend;
  driver: BlkDriver;
}

function setUp(
  options: BlkOptions & StartOptions & { awake?: boolean } = {},
): Setup {
  const memory = GuestMemory.allocate(8 * MiB, { hugePages: false });
  const disk = new MemoryBackend(memory, MiB);
  const driver = new BlkDriver(disk, { memory, ...options });
  return {
    disk,
    driver,
    [Symbol.dispose]() {
      driver.close();
      memory.free();
    },
  };
}

/** Writes a sector; what the backend was asked to do for it. */
function write({ driver, disk }: Setup): string[] {
  const request = driver.write(0, new Uint8Array(512));
  driver.complete(request);
  assert.equal(driver.statusOf(request), OK);
  return disk.operations.splice(0)
    .map(({ kind, durable }) => durable ? `${kind}, durable` : kind);
}

Deno.test("blk: the driver chooses between write-back and write-through (§5.2.5.1)", () => {
  using setup = setUp();
  const { driver, disk } = setup;
  assert.equal(driver.get(WRITEBACK, 1), 1);
  assert.deepEqual(write(setup), ["writev"]);
  driver.set(WRITEBACK, 0, 1);
  assert.equal(driver.get(WRITEBACK, 1), 0);
  assert.deepEqual(write(setup), ["writev, durable"]);
  // Zeros, too: fallocate can't be durable by itself.
  const zero = driver.zero(WRITE_ZEROES, { sector: 0, sectors: 8 });
  driver.complete(zero);
  assert.equal(driver.statusOf(zero), OK);
  const kinds = disk.operations.splice(0).map(({ kind }) => kind);
  assert.deepEqual(kinds, ["zero", "flush"]);
  driver.set(WRITEBACK, 1, 1);
  assert.deepEqual(write(setup), ["writev"]);
  // After a reset it is what it was.
  driver.set(WRITEBACK, 0, 1);
  driver.start();
  assert.equal(driver.get(WRITEBACK, 1), 1);
});

Deno.test("blk: a short durable write goes on durably", () => {
  using setup = setUp();
  const { driver, disk } = setup;
  driver.set(WRITEBACK, 0, 1);
  disk.answer = () => disk.operations.length === 1 ? 100 : undefined;
  assert.deepEqual(write(setup), ["writev, durable", "writev, durable"]);
});

Deno.test("blk: other writes to the configuration space change nothing", () => {
  using setup = setUp();
  const { driver } = setup;
  const before = driver.get(MmioRegister.Config);
  driver.set(MmioRegister.Config, 0xffff_ffff);
  driver.set(WRITEBACK, 0, 4);
  driver.set(WRITEBACK, 0xfe, 1); // its lowest bit counts
  assert.equal(driver.get(MmioRegister.Config), before);
  assert.equal(driver.get(WRITEBACK, 1), 0);
});

Deno.test("blk: a driver that can't flush gets no write-back (§5.2.6.2)", () => {
  using setup = setUp({ features: [BlkFeature.SEG_MAX] });
  assert.deepEqual(write(setup), ["writev, durable"]);
  // The writeback field is only for who has accepted it.
  setup.driver.start({ features: [FLUSH] });
  setup.driver.set(WRITEBACK, 0, 1);
  assert.equal(setup.driver.get(WRITEBACK, 1), 1);
  assert.deepEqual(write(setup), ["writev"]);
});

Deno.test("blk: an unsafe cache offers no choice, and never waits for the disk", () => {
  using setup = setUp({ flush: false });
  const { driver } = setup;
  assert.equal(driver.state.hasFeature(CONFIG_WCE), false);
  assert.deepEqual(write(setup), ["writev"]);
});

Deno.test("blk: the physical block is told (§5.2.4, TOPOLOGY)", () => {
  using setup = setUp();
  const { driver } = setup;
  assert.equal(driver.state.hasFeature(TOPOLOGY), true);
  const at = MmioRegister.Config + BlkConfig.physical_block_exp;
  assert.equal(driver.get(at, 1), 3); // 4096 = 512 << 3
});

/** A read through queue `index`. */
function readOn(driver: BlkDriver, index: number, sector: number): BlkRequest {
  const status = driver.room(1);
  const data = [driver.room(512)];
  const header = driver.header(BlkType.IN, sector);
  const head = driver.queues[index]!.add([header, ...data, status]);
  return { head, data, status };
}

Deno.test("blk: four queues: each request completes on its own (§5.2.2, MQ)", () => {
  using setup = setUp({ queues: 4 });
  const { driver, disk } = setup;
  assert.equal(driver.state.hasFeature(MQ), true);
  assert.equal(
    driver.get(MmioRegister.Config + BlkConfig.num_queues, 2),
    4,
  );
  for (let i = 0; i < 8; i++) disk.content.fill(i, i * 512, (i + 1) * 512);
  disk.held = true;
  const requests = [0, 1, 2, 3, 3, 2, 1, 0].map((queue, sector) => {
    const request = readOn(driver, queue, sector);
    driver.ring(queue);
    return { queue, sector, ...request };
  });
  assert.equal(disk.inFlight.length, 8);
  disk.release(); // the newest first
  driver.loop.turn(0);
  for (const { queue, head } of requests.toReversed()) {
    assert.equal(driver.queues[queue]!.poll(), head);
  }
  for (const request of requests) {
    assert.equal(driver.statusOf(request), OK);
    assert.ok(driver.dataOf(request).every((b) => b === request.sector));
  }
});

Deno.test("blk: one queue is reset, the others' requests complete (§2.6.1)", () => {
  using setup = setUp({ queues: 2 });
  const { driver, disk } = setup;
  disk.held = true;
  const lost = readOn(driver, 0, 1);
  driver.ring(0);
  const kept = readOn(driver, 1, 2);
  driver.ring(1);
  driver.set(MmioRegister.QueueSel, 0);
  driver.set(MmioRegister.QueueReset, 1);
  assert.equal(driver.get(MmioRegister.QueueReset), 0);
  disk.release();
  driver.loop.turn(0);
  assert.equal(driver.queues[1]!.poll(), kept.head);
  assert.equal(driver.statusOf(kept), OK);
  assert.equal(driver.statusOf(lost), 0xee, "untouched");
  assert.equal(disk.inFlight.length, 0);
});

for (const awake of [false, true]) {
  Deno.test(`blk (${awake ? "" : "not "}polled): when one queue has taken all of the room, the others get theirs`, () => {
    using setup = setUp({ queues: 4, awake });
    const { driver, disk } = setup;
    disk.held = true;
    // Three descriptors each: 85 fit into a queue, 340 into four, and 256 of
    // them into the device.
    for (const queue of [0, 1, 2, 3]) {
      for (let i = 0; i < 85; i++) readOn(driver, queue, queue);
      driver.ring(queue);
    }
    assert.equal(disk.inFlight.length, 256);
    const done = [0, 0, 0, 0];
    for (let round = 0; round < 10; round++) {
      if (disk.inFlight.length > 0) disk.release();
      driver.turn();
      driver.queues.forEach((queue, index) => {
        while (queue.poll() >= 0) done[index]!++;
      });
    }
    assert.deepEqual(done, [85, 85, 85, 85]);
  });
}

Deno.test("blk: the image grows: the driver is interrupted and reads the new capacity", () => {
  using setup = setUp();
  const { driver, disk } = setup;
  const capacity = () => driver.get(MmioRegister.Config + BlkConfig.capacity);
  const generation = () => driver.get(MmioRegister.ConfigGeneration);
  const before = generation();
  assert.equal(driver.activated.command("resize"), MiB);
  assert.equal(generation(), before, "nothing has changed");
  disk.newSize = 3 * MiB;
  assert.equal(driver.activated.command("resize"), 3 * MiB);
  assert.equal(capacity(), 3 * MiB / 512);
  assert.notEqual(generation(), before);
  assert.equal(driver.acknowledge() & Interrupt.CONFIG_CHANGE, 2);
  disk.newSize = MiB / 2;
  driver.activated.command("resize");
  assert.equal(capacity(), MiB / 1024);
  const beyond = driver.read(MiB / 1024);
  driver.complete(beyond);
  assert.equal(driver.statusOf(beyond), BlkStatus.IOERR);
  assert.throws(() => driver.activated.command("shrink"), /no such command/);
});

const sleep = (ms: number) => new Promise((done) => setTimeout(done, ms));

Deno.test("blk: no more operations than the limits allow", async () => {
  using setup = setUp({
    queues: 2,
    limits: { ops: { size: 10, refill_time: 100 } },
  });
  const { driver, disk } = setup;
  for (let i = 0; i < 40; i++) readOn(driver, i % 2, i);
  const start = performance.now();
  const allowed = () => 10 + (performance.now() - start) / 10; // by now
  driver.ring(0);
  driver.ring(1);
  const { length } = disk.operations;
  assert.ok(length >= 10, `${length}, and the bucket holds 10`);
  assert.ok(length <= allowed() + 1, `${length} at once`);
  let done = 0;
  while (done < 40) {
    await sleep(5);
    driver.turn();
    assert.ok(disk.operations.length <= allowed() + 1);
    for (const queue of driver.queues) while (queue.poll() >= 0) done++;
  }
  assert.ok(performance.now() - start >= 290);
});

Deno.test("blk: a reset while requests wait for the limits", () => {
  using setup = setUp({ limits: { ops: { size: 2, refill_time: 3_600_000 } } });
  const { driver, disk } = setup;
  for (let i = 0; i < 10; i++) driver.read(i);
  driver.ring(0);
  assert.equal(disk.operations.length, 2);
  driver.start();
  driver.read(1);
  driver.ring(0);
  driver.turn();
  assert.equal(disk.operations.length, 2, "the limits stay");
});
