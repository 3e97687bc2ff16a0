/** Devices that are saved in the middle of their work, over both kinds of rings. */
import assert from "node:assert/strict";
import { MiB } from "../../guest/layout.ts";
import { GuestMemory } from "../../guest/memory.ts";
import { guestBytes } from "../../guest/testing/iovecs.ts";
import { MemoryBackend } from "../backends/testing/block.ts";
import { MemoryNet } from "../backends/testing/net.ts";
import { RateLimiter } from "../runtime/rate_limiter.ts";
import { Blk } from "./blk/blk.ts";
import { Net } from "./net/net.ts";
import { Rng } from "./rng.ts";
import { BlkDriver } from "./testing/blk.ts";
import { RecordingDevice } from "./testing/device.ts";
import { MockDriver } from "./testing/mod.ts";
import {
  assertFrames,
  frame,
  MAC,
  NetDriver,
  received,
} from "./testing/net.ts";
import { goOn, restore, save, WAYS } from "./testing/saved.ts";
import { ActivatedDevice } from "./transport/activated_device.ts";
import { DeviceState, DeviceWord } from "./transport/device_state.ts";

/** Of a receive buffer's descriptors. */
function lengths(lap: number): number[] {
  return [[2000], [400, 700, 900], [1000, 1000]][lap % 3]!;
}

for (const way of WAYS) {
  for (const packed of [false, true]) {
    const words = `${way}, ${packed ? "packed" : "split"} rings`;

    Deno.test(`saved: net goes on in the middle of frames; ${words}`, () => {
      using memory = GuestMemory.allocate(16 * MiB, { hugePages: false });
      const nets = [new MemoryNet(memory)];
      const [first] = nets as [MemoryNet];
      using driver = new NetDriver(first, { memory, packed, queueSize: 64 });
      // Chains of several lengths: some are taken and wait when it is saved.
      for (let i = 0; i < 8; i++) driver.post(1, ...lengths(i));
      for (let lap = 0; lap < 60; lap++) {
        const net = nets.at(-1)!;
        const sizes = [60 + lap, 3000, 100];
        net.deliver(...sizes.map((size) => frame(size, lap)));
        const sent = driver.queueFrame(frame(70, lap));
        driver.ring(1);
        driver.turn();
        goOn(driver, way, () => {
          nets.push(new MemoryNet(memory));
          return new Net(nets.slice(-1), MAC);
        });
        const expected = sizes.map((size) =>
          received(frame(size, lap), size === 3000 ? 2 : 1)
        );
        assertFrames(driver.frames(), expected);
        assertFrames(net.sent.splice(0), [frame(70, lap)]);
        assert.equal(driver.rings[1]!.poll(), sent);
        for (let i = 0; i < 4; i++) driver.post(1, ...lengths(lap + i));
      }
    });

    Deno.test(`saved: net loses frames without room, and gives them back; ${words}`, () => {
      using memory = GuestMemory.allocate(16 * MiB, { hugePages: false });
      using net = new MemoryNet(memory);
      using other = new MemoryNet(memory);
      const next = way === "resumed" ? net : other;
      using driver = new NetDriver(net, { memory, packed });
      net.room = 2;
      for (let i = 0; i < 5; i++) driver.queueFrame(frame(60, i));
      driver.ring(1);
      assertFrames(net.sent.splice(0), [frame(60, 0), frame(60, 1)]);
      goOn(driver, way, () => new Net([next], MAC));
      let back = 0;
      while (driver.rings[1]!.poll() >= 0) back++;
      assert.equal(back, 5);
      next.room = Infinity;
      driver.queueFrame(frame(80));
      driver.ring(1);
      driver.turn();
      assertFrames(next.sent, [frame(80)]);
    });

    Deno.test(`saved: blk has done what was in flight; ${words}`, () => {
      using memory = GuestMemory.allocate(4 * MiB, { hugePages: false });
      const disk = new MemoryBackend(memory, MiB);
      const other = new MemoryBackend(memory, 2 * MiB);
      using driver = new BlkDriver(disk, { memory, packed });
      const requests = [3, 1, 2].map((sector) =>
        driver.write(sector, new Uint8Array(512).fill(sector))
      );
      driver.ring(0);
      goOn(driver, way, () => new Blk(other, "disk0"));
      assert.deepEqual(driver.complete(...requests), [1, 1, 1]);
      const next = way === "resumed" ? disk : other;
      next.content.fill(9, 512, 1024);
      const read = driver.read(1);
      assert.deepEqual(driver.complete(read), [513]);
      assert.equal(driver.dataOf(read)[0], 9);
    });

    Deno.test(`saved: rng's request that waits for the limiter is asked for anew; ${words}`, () => {
      using memory = GuestMemory.allocate(4 * MiB, { hugePages: false });
      const make = () => {
        const source = {
          fill(address: number, length: number) {
            guestBytes(memory, { base: address, length }).fill(7);
            return length;
          },
        };
        const bandwidth = { size: 100, refill_time: 20 };
        return new Rng(source, new RateLimiter({ bandwidth }));
      };
      using driver = new MockDriver(make(), { memory, packed });
      driver.start();
      const rooms = [90, 80, 70].map((length) => driver.room(length));
      const heads = rooms.map((room) => driver.rings[0]!.add([room]));
      driver.ring(0);
      goOn(driver, way, make);
      const done: number[] = [];
      driver.until(() => {
        const head = driver.rings[0]!.poll();
        if (head >= 0) done.push(head);
        return done.length === 3;
      }, "the requests");
      assert.deepEqual(done, heads);
      for (const room of rooms) {
        assert.ok(driver.bytes(room).every((byte) => byte === 7));
      }
    });
  }
}

Deno.test("saved: a device without quiesce is refused; without save and restore it begins anew", () => {
  using driver = new MockDriver(new RecordingDevice());
  driver.start();
  assert.throws(
    () => driver.activated.save(),
    /can't be saved: the device has no quiesce/,
  );
  const device = () => Object.assign(new RecordingDevice(), { quiesce() {} });
  using good = new MockDriver(device());
  good.start();
  const next = device();
  restore(good, next, save(good));
  assert.deepEqual(next.calls.slice(0, 3), [
    "activate 0 1",
    "notify 0",
    "notify 1",
  ]);
  const unclonable = Object.assign(device(), { save: () => () => {} });
  restore(good, unclonable, save(good));
  assert.throws(() => save(good), /could not be cloned/);
});

Deno.test("saved: the configuration of a device without a driver is the new one's", () => {
  using driver = new MockDriver(
    Object.assign(new RecordingDevice(), { quiesce() {} }),
  );
  const config = Uint8Array.of(9, 9, 9, 9, 9, 9, 9, 9);
  const next = Object.assign(new RecordingDevice({ config }), { quiesce() {} });
  restore(driver, next, save(driver));
  assert.deepEqual([...driver.state.config.subarray(0, 8)], [...config]);
});

Deno.test("saved: a driver that runs already sees the device only as it was", () => {
  const quiet = () => Object.assign(new RecordingDevice(), { quiesce() {} });
  using driver = new MockDriver(quiet());
  driver.start();
  const state = new DeviceState();
  const shown = () => state.words[DeviceWord.DEVICE_ID]!;
  const begun: number[] = [];
  const next = Object.assign(quiet(), { activate: () => begun.push(shown()) });
  const { memory, loop } = driver;
  const activated = new ActivatedDevice(next, {
    ...{ state, memory, loop, restored: true },
    raiseInterrupt() {},
    log() {},
  });
  assert.equal(shown(), 0, "before");
  activated.restore(save(driver));
  assert.deepEqual(begun, [0], "while it begins");
  assert.equal(shown(), next.deviceId);
  assert.equal(state.status, driver.state.status);
  activated.close();
});
