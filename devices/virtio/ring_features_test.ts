/** What is negotiated about queues: packed rings, and the reset of one queue. */
import assert from "node:assert/strict";
import { MiB } from "../../guest/layout.ts";
import { GuestMemory } from "../../guest/memory.ts";
import { MemoryBackend } from "../backends/testing/block.ts";
import { MemoryNet } from "../backends/testing/net.ts";
import { BlkDriver } from "./testing/blk.ts";
import { MmioRegister } from "./transport/mmio.ts";
import { assertFrames, frame, NetDriver, received } from "./testing/net.ts";
import { Feature } from "./spec.ts";
import { PackedDriverQueue } from "./testing/packed_queue.ts";
import { RecordingDevice } from "./testing/device.ts";
import { MockDriver } from "./testing/mod.ts";

const WAYS = (["mmio", "pci"] as const).flatMap((transport) =>
  [false, true].flatMap((packed) =>
    [false, true].map((awake) => ({ transport, packed, awake }))
  )
);

for (const way of WAYS) {
  const words = `${way.transport}, ${way.packed ? "packed" : "split"}` +
    (way.awake ? ", polled" : "");
  Deno.test(`blk: requests in any order over ${words}`, () => {
    using memory = GuestMemory.allocate(16 * MiB, { hugePages: false });
    const disk = new MemoryBackend(memory, MiB);
    using driver = new BlkDriver(disk, { memory, ...way });
    assert.equal(driver.rings[0] instanceof PackedDriverQueue, way.packed);
    disk.held = true;
    for (let lap = 0; lap < 50; lap++) {
      const sectors = [1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => (n * lap) % 1000);
      const requests = sectors.map((sector) => driver.read(sector));
      for (const sector of sectors) {
        disk.content.fill(sector, sector * 512, sector * 512 + 512);
      }
      driver.ring(0);
      driver.turn();
      disk.release();
      assert.deepEqual(driver.complete(...requests), sectors.map(() => 513));
      for (const [i, request] of requests.entries()) {
        assert.equal(driver.statusOf(request), 0);
        assert.equal(driver.dataOf(request)[0], sectors[i]! & 0xff);
      }
    }
  });

  Deno.test(`net: frames both ways over ${words}`, () => {
    using memory = GuestMemory.allocate(16 * MiB, { hugePages: false });
    using net = new MemoryNet(memory);
    using driver = new NetDriver(net, { memory, ...way });
    for (let lap = 0; lap < 20; lap++) {
      driver.post(90, 1526);
      const frames = Array.from({ length: 30 }, (_, i) => frame(60 + i));
      net.deliver(...frames);
      driver.turn();
      assertFrames(driver.frames(), frames.map((one) => received(one)));
      for (const one of frames) driver.queueFrame(one);
      driver.ring(1);
      driver.turn();
      assertFrames(net.sent.splice(0), frames);
      driver.start({ queueSize: way.packed ? 200 : 128 });
    }
  });
}

Deno.test("a driver that accepts RING_PACKED gets it, and only then", () => {
  using memory = GuestMemory.allocate(MiB, { hugePages: false });
  const disk = new MemoryBackend(memory, MiB);
  using driver = new BlkDriver(disk, { memory, packed: true });
  assert.ok(driver.rings[0] instanceof PackedDriverQueue);
  driver.start({ features: [Feature.EVENT_IDX] });
  assert.equal(driver.queues.length, 1, "split");
  const read = driver.read(1);
  assert.deepEqual(driver.complete(read), [513]);
  driver.start();
  assert.ok(driver.rings[0] instanceof PackedDriverQueue);
  const again = driver.read(1);
  assert.deepEqual(driver.complete(again), [513]);
});

Deno.test("without the option RING_PACKED isn't offered", () => {
  using driver = new MockDriver(new RecordingDevice());
  assert.equal(driver.offered[1] & (1 << (Feature.RING_PACKED - 32)), 0);
  assert.notEqual(driver.offered[1] & (1 << (Feature.RING_RESET - 32)), 0);
});

for (const { transport, packed, awake } of WAYS) {
  if (awake) continue;
  const kind = packed ? "packed" : "split";
  Deno.test(`one ${kind} queue is reset and set up anew, ${transport} (§2.6.1)`, () => {
    using memory = GuestMemory.allocate(16 * MiB, { hugePages: false });
    using net = new MemoryNet(memory);
    using driver = new NetDriver(net, { memory, packed, transport });
    driver.queueFrame(frame(60));
    driver.ring(1);
    assertFrames(net.sent.splice(0), [frame(60)]);

    driver.set(MmioRegister.QueueSel, 1);
    driver.set(MmioRegister.QueueReset, 1);
    assert.equal(driver.get(MmioRegister.QueueReset), 0, "it is done");
    assert.equal(driver.get(MmioRegister.QueueReady), 0);
    assert.equal(driver.get(MmioRegister.QueueDescLow), 0);
    driver.queueFrame(frame(61));
    driver.ring(1);
    assert.equal(net.sent.length, 0, "the old ring is let go of");

    driver.post(70, 1526); // the other queue goes on
    net.deliver(frame(62));
    driver.turn();
    assertFrames(driver.frames(), [received(frame(62))]);

    driver.rings[1] = packed
      ? driver.setUpPackedQueue(1, 64)
      : driver.setUpQueue(1, 64);
    driver.queueFrame(frame(63));
    driver.ring(1);
    assertFrames(net.sent.splice(0), [frame(63)]);
    assert.equal(driver.status & 0x40, 0);
  });
}

Deno.test("QueueReset does nothing unless RING_RESET was accepted", () => {
  using memory = GuestMemory.allocate(4 * MiB, { hugePages: false });
  using net = new MemoryNet(memory);
  using driver = new NetDriver(net, { memory, features: [Feature.EVENT_IDX] });
  driver.set(MmioRegister.QueueSel, 1);
  driver.set(MmioRegister.QueueReset, 1);
  assert.equal(driver.get(MmioRegister.QueueReady), 1);
  driver.set(MmioRegister.QueueReady, 0);
  driver.set(MmioRegister.QueueReady, 1);
  driver.queueFrame(frame(60));
  driver.ring(1);
  assert.equal(net.sent.length, 0, "a stopped queue stays so");
});
