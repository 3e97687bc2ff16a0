/** The entropy device (virtio 1.2 §5.4). */
import assert from "node:assert/strict";
import { viewOf } from "../../ffi/memory/mmap.ts";
import { type EntropySource, getrandom } from "../backends/entropy/source.ts";
import { RateLimiter } from "../runtime/rate_limiter.ts";
import { Rng } from "./rng.ts";
import { DeviceId, Feature, featureWords, Status } from "./spec.ts";
import { MockDriver } from "./testing/mod.ts";
import { DescriptorFlag } from "./testing/queue.ts";

/** Counts up from 0, a byte at a time; ends at `end`. */
function counter(end = Infinity): EntropySource {
  let next = 0;
  return {
    fill(address, length) {
      const count = Math.min(length, end - next);
      if (count === 0) return 0;
      const bytes = new Uint8Array(viewOf(address, count));
      for (let i = 0; i < count; i++) bytes[i] = next++;
      return count;
    },
  };
}

Deno.test("rng: the device has an id, a queue, and nothing else (§5.4)", () => {
  using driver = new MockDriver(new Rng(counter()));
  assert.equal(driver.activated.device.deviceId, DeviceId.ENTROPY);
  assert.equal(driver.activated.device.config.length, 0);
  assert.equal(driver.activated.queues.length, 1);
  const [low] = driver.offered;
  const expected = featureWords(Feature.INDIRECT_DESC, Feature.EVENT_IDX);
  assert.equal(low, expected[0]);
});

Deno.test("rng: every buffer is filled, whatever its pieces", () => {
  for (const features of [[], [Feature.EVENT_IDX, Feature.INDIRECT_DESC]]) {
    using driver = new MockDriver(new Rng(counter()));
    driver.start({ features });
    const queue = driver.queues[0]!;
    const pieces = [driver.room(1), driver.room(100), driver.room(27)];
    const head = queue.add(pieces);
    const small = driver.room(5);
    const second = queue.add([small]);
    driver.kick(0);
    assert.equal(queue.poll(), head);
    assert.equal(queue.usedLength, 128);
    const bytes = pieces.flatMap((piece) => [...driver.bytes(piece)]);
    assert.deepEqual(bytes, Array.from({ length: 128 }, (_, i) => i));
    assert.equal(queue.poll(), second);
    assert.deepEqual([...driver.bytes(small)], [128, 129, 130, 131, 132]);
    assert.equal(driver.interrupts, 1, "one for the batch");
  }
});

Deno.test("rng: one request gets 64 KiB at most", () => {
  using driver = new MockDriver(new Rng(counter()));
  driver.start();
  const rooms = [driver.room(65_000), driver.room(1000)];
  driver.queues[0]!.add(rooms);
  driver.ring(0);
  driver.queues[0]!.poll();
  assert.equal(driver.queues[0]!.usedLength, 65_536);
  assert.equal(driver.bytes(rooms[1]!)[536], 0xee, "untouched");
});

Deno.test("rng: a source that ends gives what it has", () => {
  using driver = new MockDriver(new Rng(counter(10)));
  driver.start();
  driver.queues[0]!.add([driver.room(8), driver.room(8), driver.room(8)]);
  driver.ring(0);
  driver.queues[0]!.poll();
  assert.equal(driver.queues[0]!.usedLength, 10);
});

Deno.test("rng: getrandom fills a whole buffer, each value about as often", () => {
  using driver = new MockDriver(new Rng(getrandom));
  driver.start();
  const room = driver.room(65_536, 0);
  driver.queues[0]!.add([room]);
  driver.ring(0);
  driver.queues[0]!.poll();
  assert.equal(driver.queues[0]!.usedLength, 65_536);
  const counts = new Array(256).fill(0);
  for (const byte of driver.bytes(room)) counts[byte]++;
  // 256 per value on average; a standard deviation is 16.
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  assert.ok(least > 128 && most < 384, `${least} to ${most} of a value`);
});

Deno.test("rng: beyond its rate a request waits, and then goes on in order", () => {
  let now = 0;
  const limits = { bandwidth: { size: 100, refill_time: 1000 } };
  const limiter = new RateLimiter(limits, () => now);
  using driver = new MockDriver(new Rng(counter(), limiter));
  driver.start();
  const queue = driver.queues[0]!;
  const heads = [60, 30, 60, 10].map((size) => queue.add([driver.room(size)]));
  driver.ring(0);
  assert.deepEqual([queue.poll(), queue.poll()], heads.slice(0, 2));
  assert.equal(queue.poll(), -1, "50 tokens are missing");
  driver.ring(0); // a doorbell meanwhile changes nothing
  assert.equal(queue.poll(), -1);
  now = 500;
  limiter.onReady(); // as the loop does
  assert.equal(queue.poll(), heads[2]);
  assert.equal(queue.poll(), -1);
  now = 600;
  limiter.onReady();
  assert.equal(queue.poll(), heads[3]);
  queue.add([driver.room(1)]);
  assert.equal(driver.kick(0), true, "doorbells are wanted again");
});

Deno.test("rng: a request that waits is forgotten by a reset", () => {
  let now = 0;
  const limits = { ops: { size: 1, refill_time: 1000 } };
  const limiter = new RateLimiter(limits, () => now);
  using driver = new MockDriver(new Rng(counter(), limiter));
  driver.start();
  const room = driver.room(4);
  driver.queues[0]!.add([driver.room(4)]);
  driver.queues[0]!.add([room]);
  driver.ring(0);
  driver.reset();
  now = 5000;
  limiter.onReady();
  assert.deepEqual([...driver.bytes(room)], [0xee, 0xee, 0xee, 0xee]);
  driver.start();
  driver.queues[0]!.add([driver.room(4)]);
  driver.ring(0);
  assert.equal(driver.queues[0]!.poll(), 0);
});

Deno.test("rng hostile: buffers to read get nothing, those outside RAM break the queue", () => {
  using driver = new MockDriver(new Rng(counter()));
  driver.start();
  const queue = driver.queues[0]!;
  const head = queue.add([driver.buffer(new Uint8Array(64))]);
  driver.ring(0);
  assert.equal(queue.poll(), head);
  assert.equal(queue.usedLength, 0);
  assert.equal(driver.status & Status.DEVICE_NEEDS_RESET, 0);

  queue.describe(9, 0x1000_0000, 64, DescriptorFlag.WRITE);
  queue.offer(9);
  driver.ring(0);
  assert.ok(driver.status & Status.DEVICE_NEEDS_RESET);
  assert.match(driver.messages[0]!, /not in RAM/);
  driver.start();
  driver.queues[0]!.add([driver.room(3)]);
  driver.ring(0);
  assert.equal(driver.queues[0]!.poll(), 0, "works again after a reset");
});

Deno.test("rng: on a thread that polls, a turn is bounded and nothing is left", () => {
  using driver = new MockDriver(new Rng(counter()), { awake: true });
  driver.start();
  const queue = driver.queues[0]!;
  for (let i = 0; i < 150; i++) queue.add([driver.room(1)]);
  driver.ring(0);
  assert.equal(queue.usedIdx, 16, "the others' turn");
  driver.turn();
  assert.equal(queue.usedIdx, 150);
});
