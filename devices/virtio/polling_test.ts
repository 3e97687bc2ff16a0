/** Devices on a thread that polls between doorbells, and one that sleeps. */
import assert from "node:assert/strict";
import { MemoryBackend } from "../backends/testing/block.ts";
import { TapBackend } from "../backends/net/tap.ts";
import { MemoryNet, SocketPair } from "../backends/testing/net.ts";
import { MiB } from "../../guest/layout.ts";
import { GuestMemory } from "../../guest/memory.ts";
import { BlkType } from "./blk/spec.ts";
import { BlkDriver } from "./testing/blk.ts";
import { NetFeature } from "./net/spec.ts";
import { assertFrames, frame, NetDriver, received } from "./testing/net.ts";
import { Feature, Status } from "./spec.ts";
import { MockDriver } from "./testing/mod.ts";
import { RecordingDevice } from "./testing/device.ts";

const EVENT_IDX = [[], [Feature.EVENT_IDX]];

/** Completes what is in flight just when the device is about to sleep. */
class LateDisk extends MemoryBackend {
  override enable(): boolean {
    if (this.inFlight.length > 5) this.release(0);
    return super.enable();
  }
}

Deno.test("polling: requests are found without a doorbell, and none is wanted", () => {
  for (const features of EVENT_IDX) {
    using memory = GuestMemory.allocate(4 * MiB, { hugePages: false });
    const disk = new MemoryBackend(memory, MiB);
    using driver = new BlkDriver(disk, { memory, features, awake: true });
    const queue = driver.queues[0]!;
    driver.read(0);
    assert.equal(driver.kick(0), true, "before the first round");
    assert.equal(queue.usedIdx, 1);
    for (let i = 1; i < 300; i++) {
      const head = queue.poll();
      assert.ok(head >= 0);
      const request = driver.read(i % 64);
      assert.equal(queue.doorbellWanted(), false);
      assert.equal(driver.activated.poll(), true);
      assert.equal(driver.statusOf(request), 0);
    }
    assert.equal(driver.activated.poll(), false, "no work");
  }
});

Deno.test("polling: before the thread sleeps, doorbells are wanted again", () => {
  for (const features of EVENT_IDX) {
    using memory = GuestMemory.allocate(4 * MiB, { hugePages: false });
    using driver = new BlkDriver(new MemoryBackend(memory, MiB), {
      memory,
      features,
      awake: true,
    });
    const queue = driver.queues[0]!;
    driver.read(0);
    driver.ring(0);
    assert.equal(driver.activated.enable(), false);
    driver.read(1);
    assert.equal(driver.kick(0), true);
    assert.equal(queue.usedIdx, 2);

    driver.read(2);
    assert.equal(driver.activated.enable(), true, "a chain came in meanwhile");
    assert.equal(driver.activated.poll(), true);
    assert.equal(queue.usedIdx, 3);
    assert.equal(driver.activated.enable(), false);
  }
});

Deno.test("polling: completions are found, and before sleep not missed", () => {
  using memory = GuestMemory.allocate(4 * MiB, { hugePages: false });
  const disk = new MemoryBackend(memory, MiB);
  disk.held = true;
  using driver = new BlkDriver(disk, { memory, awake: true });
  driver.read(0);
  driver.read(1);
  driver.ring(0);
  assert.equal(driver.activated.poll(), false);
  disk.release(1);
  assert.equal(driver.activated.enable(), true);
  assert.equal(driver.activated.poll(), true);
  assert.equal(driver.queues[0]!.usedIdx, 1);
  disk.release(0);
  assert.equal(driver.activated.poll(), true);
  assert.equal(driver.queues[0]!.usedIdx, 2);
});

Deno.test("polling: frames go both ways without doorbells", () => {
  for (const features of EVENT_IDX) {
    using memory = GuestMemory.allocate(4 * MiB, { hugePages: false });
    using net = new MemoryNet(memory);
    using driver = new NetDriver(net, {
      memory,
      features: [...features, NetFeature.MRG_RXBUF],
      awake: true,
    });
    driver.post(1, 1526);
    driver.queueFrame(frame(60));
    driver.kick(1);
    net.sent.length = 0;
    for (let i = 0; i < 100; i++) {
      driver.post(1, 1526);
      net.deliver(frame(60 + i, i));
      driver.queueFrame(frame(70 + i, i));
      assert.equal(driver.tx.doorbellWanted(), false);
      driver.activated.poll();
      driver.loop.turn(0);
      assertFrames(driver.frames(), [received(frame(60 + i, i))]);
      assertFrames(net.sent.splice(0), [frame(70 + i, i)]);
      while (driver.tx.poll() >= 0);
    }
  }
});

Deno.test("polling: buffers that no frame can come to are no work", () => {
  using memory = GuestMemory.allocate(4 * MiB, { hugePages: false });
  const nets = [new MemoryNet(memory), new MemoryNet(memory)];
  using driver = new NetDriver(nets, { memory, awake: true });
  const buffersAreNoWork = (queue: number) => {
    driver.queues[queue]!.add([driver.room(1526)]);
    driver.activated.poll();
    assert.equal(driver.activated.poll(), false, "or the thread never sleeps");
    assert.equal(driver.activated.enable(), false);
  };
  assert.equal(driver.control(4, 4, 0, 2, 0), 0);
  driver.ring(2); // it has no buffers, and wants to be told of some
  assert.equal(driver.control(4, 4, 0, 1, 0), 0);
  buffersAreNoWork(2); // of a pair out of use
  assert.equal(driver.control(4, 4, 0, 2, 0), 0);
  nets[1]!.deliver(frame(60));
  driver.turn();
  assert.ok(driver.queues[2]!.poll() >= 0, "they are used when it is in use");
});

Deno.test("polling: buffers without a link are no work", () => {
  using pair = new SocketPair();
  const backend = new TapBackend({ fd: pair.device, mtu: 1500 });
  using driver = new NetDriver(backend, { awake: true });
  driver.ring(0); // it has no buffers, and wants to be told of some
  pair.hangUp();
  driver.loop.turn(0);
  driver.queues[0]!.add([driver.room(1526)]);
  driver.activated.poll();
  assert.equal(driver.activated.poll(), false, "or the thread never sleeps");
  assert.equal(driver.activated.enable(), false);
});

Deno.test("polling: a queue that breaks is reported, then left alone", () => {
  using memory = GuestMemory.allocate(4 * MiB, { hugePages: false });
  using net = new MemoryNet(memory);
  const make = [
    () =>
      new BlkDriver(new MemoryBackend(memory, MiB), { memory, awake: true }),
    () => new NetDriver(net, { memory, awake: true }),
  ];
  for (const device of make) {
    using driver = device();
    driver.ring(0);
    driver.queues[0]!.offer(999);
    driver.activated.poll();
    assert.equal(driver.status & Status.DEVICE_NEEDS_RESET, 64);
    assert.equal(driver.activated.poll(), false, "or the thread never sleeps");
    assert.equal(driver.activated.enable(), false);
  }
});

Deno.test("polling: chains that the device has no use for are no work", () => {
  const { EVENT_IDX, RING_PACKED } = Feature;
  for (const features of [[], [EVENT_IDX], [RING_PACKED]]) {
    const device = new RecordingDevice({ features: [EVENT_IDX] });
    using driver = new MockDriver(device, { packed: true, awake: true });
    driver.start({ features });
    const queue = device.context.queues[0]!;
    device.calls.length = 0;
    for (let posted = 1; posted <= 3; posted++) {
      queue.enableNotification(); // it waits for a chain, once
      driver.rings[0]!.add([driver.room(16)]);
      driver.activated.poll();
      assert.deepEqual(device.calls.splice(0), ["notify 0"]);
      assert.equal(driver.activated.poll(), false, "it took none");
      assert.equal(
        driver.activated.enable(),
        false,
        "or the thread never sleeps",
      );
    }
    assert.equal(queue.hasAvailable, true);
    // Between two polls, or by a doorbell: the same.
    queue.enableNotification();
    driver.ring(0);
    assert.deepEqual(device.calls.splice(0), ["notify 0"]);
    assert.equal(driver.activated.poll(), false);
    assert.equal(driver.activated.enable(), false);
  }
});

Deno.test("blk: a slot that frees up just before the thread sleeps is used", () => {
  using memory = GuestMemory.allocate(4 * MiB, { hugePages: false });
  const disk = new LateDisk(memory, MiB);
  disk.held = true;
  using driver = new BlkDriver(disk, { memory });
  const queue = driver.queues[0]!;
  const head = queue.add([
    driver.header(BlkType.IN, 0),
    driver.room(512),
    driver.room(1),
  ]);
  for (let i = 1; i < 256; i++) queue.offer(head);
  assert.equal(driver.kick(0), true);
  assert.equal(disk.inFlight.length, 5);
  assert.equal(queue.usedIdx, 251);
  queue.offer(head);
  assert.equal(queue.doorbellWanted(), true, "nothing else would tell");
});
