/** The network device's limits: frames in both directions wait their turn. */
import assert from "node:assert/strict";
import { MiB } from "../../../guest/layout.ts";
import { GuestMemory } from "../../../guest/memory.ts";
import { MemoryNet } from "../../backends/testing/net.ts";
import { RateLimiter, type RateLimits } from "../../runtime/rate_limiter.ts";
import { MmioRegister } from "../transport/mmio.ts";
import { NET_HEADER_SIZE, NetFeature } from "./spec.ts";
import {
  assertFrames,
  frame,
  NetDriver,
  PLAIN,
  received,
  settle,
} from "../testing/net.ts";
import { Feature } from "../spec.ts";
import type { MockDriverOptions, StartOptions } from "../testing/mod.ts";

/** Ten at once, then one per 100 seconds: no real timer comes between. */
const OPS = { ops: { size: 10, refill_time: 1_000_000 } };
const PER_FRAME = 100_000;
const FULL = 1526;

interface Setup extends Disposable {
  /** One per pair. */
  nets: MemoryNet[];
  net: MemoryNet;
  driver: NetDriver;
  /** Goes on `milliseconds` later, as if the timers had expired. */
  later(milliseconds: number): void;
}

interface SetupOptions extends MockDriverOptions, StartOptions {
  rx?: RateLimits;
  tx?: RateLimits;
  pairs?: number;
}

function setUp({ rx, tx, pairs = 1, ...options }: SetupOptions): Setup {
  let now = 0;
  const memory = GuestMemory.allocate(4 * MiB, { hugePages: false });
  const nets = Array.from({ length: pairs }, () => new MemoryNet(memory));
  const limiter = (limits: RateLimits | undefined) =>
    limits && new RateLimiter(limits, () => now);
  const limiters = { rx: limiter(rx), tx: limiter(tx) };
  const driver = new NetDriver(nets, { memory, ...options, limiters });
  return {
    nets,
    net: nets[0]!,
    driver,
    later(milliseconds) {
      now += milliseconds;
      limiters.rx?.onReady();
      limiters.tx?.onReady();
    },
    [Symbol.dispose]() {
      driver.close(); // and the nets
      memory.free();
    },
  };
}

/** `count` frames, all different. */
function frames(count: number, length = 60): Uint8Array<ArrayBuffer>[] {
  return Array.from({ length: count }, (_, i) => frame(length, i));
}

/** What a driver may have negotiated about notifications, and the thread. */
const NOTIFICATIONS = [[], [Feature.EVENT_IDX]].flatMap((features) =>
  [false, true].map((awake) => ({ features, awake }))
);

Deno.test("net TX limit: what is beyond it stays in the ring, and goes on in order", () => {
  for (const notifications of NOTIFICATIONS) {
    using setup = setUp({ tx: OPS, ...notifications });
    const { net, driver, later } = setup;
    const sent = frames(14);
    const heads = sent.map((bytes) => driver.queueFrame(bytes));
    driver.kick(1);
    assertFrames(net.sent, sent.slice(0, 10));
    for (const head of heads.slice(0, 10)) assert.equal(driver.tx.poll(), head);
    assert.equal(driver.tx.poll(), -1);
    assert.equal(settle(driver), 0, "nothing is done until the timer");
    assert.equal(driver.tx.doorbellWanted(), false);
    driver.ring(1); // a doorbell nevertheless changes nothing
    assert.equal(net.sent.length, 10);
    later(PER_FRAME - 1);
    assert.equal(net.sent.length, 10);
    later(1);
    assertFrames(net.sent, sent.slice(0, 11));
    later(2 * PER_FRAME);
    assertFrames(net.sent, sent.slice(0, 13));
    later(100 * PER_FRAME);
    assertFrames(net.sent, sent);
    for (const head of heads.slice(10)) assert.equal(driver.tx.poll(), head);
    settle(driver);
    driver.queueFrame(frame(99));
    assert.equal(driver.kick(1), true, "doorbells are wanted again");
    assert.equal(net.sent.length, 15);
  }
});

Deno.test("net RX limit: frames wait in the backend, which is not watched meanwhile", () => {
  for (const notifications of NOTIFICATIONS) {
    using setup = setUp({ rx: OPS, ...notifications });
    const { net, driver, later } = setup;
    driver.post(60, FULL);
    const before = net.receives;
    const sent = frames(14);
    net.deliver(...sent);
    settle(driver);
    const expected = sent.map((bytes) => received(bytes));
    assertFrames(driver.frames(), expected.slice(0, 10));
    assert.equal(net.receives, before + 10);
    driver.post(1, FULL);
    driver.ring(0); // buffers are not what is missing
    assert.equal(settle(driver), 0, "nothing is done until the timer");
    assert.equal(driver.rx.doorbellWanted(), false);
    assert.equal(net.waiting.length, 4);
    later(PER_FRAME - 1);
    assertFrames(driver.frames(), []);
    later(1);
    assertFrames(driver.frames(), expected.slice(10, 11));
    later(100 * PER_FRAME);
    assertFrames(driver.frames(), expected.slice(11));
    net.deliver(frame(99));
    settle(driver);
    assertFrames(driver.frames(), [received(frame(99))]);
  }
});

Deno.test("net limits: each direction has its own", () => {
  using setup = setUp({ rx: OPS, tx: OPS });
  const { net, driver } = setup;
  for (const bytes of frames(12)) driver.queueFrame(bytes);
  driver.ring(1);
  assert.equal(net.sent.length, 10);
  driver.post(60, FULL);
  net.deliver(...frames(12));
  settle(driver);
  assert.equal(driver.frames().length, 10);
});

Deno.test("net limits: a frame's bytes are its own and its header's; a debt is waited for", () => {
  const perByte = 1000;
  const size = 300 + NET_HEADER_SIZE;
  const bandwidth = { size, refill_time: size * perByte };
  for (const features of [PLAIN, [NetFeature.MRG_RXBUF]]) {
    const limits = { rx: { bandwidth }, tx: { bandwidth } };
    using setup = setUp({ ...limits, features });
    const { net, driver, later } = setup;
    const sent = [...frames(3, 88), frame(1000, 3), frame(60, 4), frame(61, 5)];
    for (const bytes of sent) driver.queueFrame(bytes.subarray(0, 12), bytes);
    // Several buffers per frame, where the driver can: it is charged once.
    const small = features === PLAIN ? FULL : 500;
    driver.post(60, small);
    net.deliver(...sent.map((bytes) => bytes.slice()));
    driver.ring(1);
    settle(driver);
    // 12 bytes more in each frame sent than in each received: 112, and 100.
    assert.equal(net.sent.length, 3, "336 of 312: a debt of 24");
    assert.equal(driver.frames().length, 4, "300 of 312, and then 1012");
    later(24 * perByte);
    assert.equal(net.sent.length, 3);
    later(perByte);
    assert.equal(net.sent.length, 4, "a debt of 1023 bytes now");
    later((1000 - 25) * perByte);
    assert.equal(driver.frames().length, 0);
    later(perByte);
    assert.equal(driver.frames().length, 1);
    assert.equal(net.sent.length, 4);
    later((1024 - (1001 - 25)) * perByte);
    assert.equal(net.sent.length, 5);
  }
});

Deno.test("net limits: a burst goes once, and a segment of 64 KiB is one operation", () => {
  const ops = { size: 2, one_time_burst: 3, refill_time: 2 * PER_FRAME };
  using setup = setUp({ rx: { ops }, tx: { ops } });
  const { net, driver, later } = setup;
  const large = frame(65_000);
  const heads = [1, 2, 3, 4, 5, 6].map(() => {
    const buffer = driver.queueFrame(large);
    return buffer;
  });
  assert.ok(heads.every((head) => head >= 0));
  driver.ring(1);
  assert.equal(net.sent.length, 5);
  driver.post(250, FULL);
  net.deliver(large, large, large, large, large, large);
  settle(driver);
  assert.equal(driver.frames().length, 5);
  later(100 * PER_FRAME);
  assert.equal(net.sent.length, 6);
  for (let i = 0; i < 4; i++) driver.queueFrame(frame(60));
  driver.ring(1);
  assert.equal(net.sent.length, 6 + 1, "two, of which one is used up");
});

Deno.test("net TX limit: a frame that waits for room is charged once", () => {
  using setup = setUp({ tx: OPS });
  const { net, driver, later } = setup;
  net.room = 4;
  const sent = frames(14);
  for (const bytes of sent) driver.queueFrame(bytes);
  driver.ring(1);
  settle(driver);
  settle(driver);
  assert.equal(net.sent.length, 4);
  later(0); // the timer has nothing to do with it
  net.room = Infinity;
  settle(driver);
  assertFrames(net.sent, sent.slice(0, 10));
  assert.equal(settle(driver), 0, "room is not watched for any more");
  later(4 * PER_FRAME);
  assertFrames(net.sent, sent);
});

Deno.test("net limits: a reset forgets what waits, but not what was used", () => {
  for (const awake of [false, true]) {
    using setup = setUp({ rx: OPS, tx: OPS, awake });
    const { net, driver, later } = setup;
    driver.post(60, FULL);
    net.deliver(...frames(11));
    for (const bytes of frames(11)) driver.queueFrame(bytes);
    driver.ring(1);
    settle(driver);
    assert.deepEqual([net.sent.length, net.waiting.length], [10, 1]);
    driver.reset();
    later(PER_FRAME);
    assert.deepEqual([net.sent.length, net.waiting.length], [10, 1]);
    // That was one token. With it, the next driver has what the reset found.
    driver.start();
    driver.post(60, FULL);
    driver.queueFrame(frame(70, 1));
    driver.queueFrame(frame(70, 2));
    driver.ring(1);
    settle(driver);
    assertFrames(net.sent.slice(10), [frame(70, 1)]);
    assert.equal(driver.frames().length, 1);
    driver.start(); // while both wait
    driver.post(60, FULL);
    net.deliver(frame(80));
    driver.queueFrame(frame(70, 3));
    driver.ring(1);
    settle(driver);
    assert.deepEqual([net.sent.length, net.waiting.length], [11, 1]);
    later(PER_FRAME);
    assertFrames(net.sent.slice(11), [frame(70, 3)]);
    assertFrames(driver.frames(), [received(frame(80))]);
  }
});

Deno.test("net limits: a queue that is reset while it waits goes on anew (§2.6.1)", () => {
  using setup = setUp({ rx: OPS, tx: OPS });
  const { net, driver, later } = setup;
  driver.post(60, FULL);
  net.deliver(...frames(12));
  for (const bytes of frames(12)) driver.queueFrame(bytes);
  driver.ring(1);
  settle(driver);
  for (const index of [0, 1]) {
    driver.set(MmioRegister.QueueSel, index);
    driver.set(MmioRegister.QueueReset, 1);
  }
  later(PER_FRAME);
  assert.deepEqual([net.sent.length, net.waiting.length], [10, 2]);
  for (const index of [0, 1]) {
    const queue = driver.setUpQueue(index, 256);
    driver.queues[index] = driver.rings[index] = queue;
  }
  driver.queueFrame(frame(70));
  driver.queueFrame(frame(71));
  driver.ring(1);
  driver.post(60, FULL);
  assertFrames(net.sent.slice(10), [frame(70)]);
  assert.equal(net.waiting.length, 1);
  later(PER_FRAME);
  assertFrames(net.sent.slice(11), [frame(71)]);
  assert.equal(net.waiting.length, 0);
});

Deno.test("net limits: two pairs share them, and take turns", () => {
  const ops = { size: 4, refill_time: 4 * PER_FRAME };
  for (const notifications of NOTIFICATIONS) {
    const { features } = notifications;
    const wanted = [NetFeature.MQ, NetFeature.CTRL_VQ, ...features];
    using setup = setUp({
      ...notifications,
      rx: { ops },
      tx: { ops },
      pairs: 2,
      features: wanted,
    });
    const { nets, driver, later } = setup;
    assert.equal(driver.control(4, 4, 0, 2, 0), 0);
    for (const pair of [0, 1]) {
      for (let i = 0; i < 20; i++) {
        driver.queues[2 * pair]!.add([driver.room(FULL)]);
        driver.queues[2 * pair + 1]!.add([driver.buffer(frame(60))]);
      }
      nets[pair]!.deliver(...frames(20));
    }
    for (const index of [0, 1, 2, 3]) driver.ring(index);
    settle(driver);
    const sent = () => nets.map((net) => net.sent.length);
    const left = () => nets.map((net) => net.waiting.length);
    assert.deepEqual([sent(), left()], [[4, 0], [16, 20]], "both directions");
    for (let i = 0; i < 12; i++) {
      assert.equal(settle(driver), 0, "nothing is done until the timer");
      later(PER_FRAME);
    }
    assert.deepEqual([sent(), left()], [[10, 6], [10, 14]]);
    // With the first pair at rest, all is the second one's.
    for (let i = 0; i < 10 + 14; i++) later(PER_FRAME);
    assert.deepEqual([sent(), left()], [[20, 20], [0, 0]]);
    settle(driver);
    driver.queues[3]!.add([driver.buffer(frame(60))]);
    assert.equal(driver.kick(3), true, "doorbells are wanted again");
  }
});

Deno.test("net limits: a pair that is taken into use waits, too", () => {
  const features = [NetFeature.MQ, NetFeature.CTRL_VQ];
  using setup = setUp({ rx: OPS, pairs: 2, features });
  const { nets, driver, later } = setup;
  driver.post(60, FULL);
  nets[0]!.deliver(...frames(11));
  nets[1]!.deliver(frame(60));
  settle(driver);
  driver.queues[2]!.add([driver.room(FULL)]);
  driver.ring(2);
  assert.equal(driver.control(4, 4, 0, 2, 0), 0);
  assert.equal(settle(driver), 0);
  assert.equal(nets[1]!.waiting.length, 1);
  later(2 * PER_FRAME);
  assert.deepEqual(nets.map((net) => net.waiting.length), [0, 0]);
});

Deno.test("net limits: polling, posted buffers alone are no work", () => {
  using setup = setUp({ rx: OPS, pairs: 2, awake: true });
  const { nets, driver, later } = setup;
  assert.equal(driver.control(4, 4, 0, 2, 0), 0);
  driver.post(60, FULL);
  nets[0]!.deliver(...frames(11)); // the first pair uses the limit up
  driver.loop.turn(0);
  assert.equal(nets[0]!.waiting.length, 1);
  driver.queues[2]!.add([driver.room(FULL)]);
  nets[1]!.deliver(frame(60));
  assert.equal(driver.activated.poll(), true, "seen once");
  assert.equal(driver.activated.poll(), false, "then left alone");
  assert.equal(driver.activated.enable(), false);
  later(2 * PER_FRAME);
  assert.ok(driver.queues[2]!.poll() >= 0);
});
