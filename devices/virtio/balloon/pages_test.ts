/** How a balloon gives pages back: in rows, and turn by turn. */
import assert from "node:assert/strict";
import { MiB } from "../../../guest/layout.ts";
import { GuestMemory, PAGE_SIZE } from "../../../guest/memory.ts";
import { PageDiscarder } from "./pages.ts";
import { BalloonDriver, FIRST_PAGE } from "../testing/balloon.ts";
import { SplitQueue } from "../queue/split.ts";
import { MmioRegister } from "../transport/mmio.ts";
import { Status } from "../spec.ts";

const INFLATE = 0;
const DEFLATE = 1;

Deno.test("balloon: pages in a row cost one system call, whichever way they run", () => {
  using memory = GuestMemory.allocate(4 * MiB, { hugePages: false });
  const queue = new SplitQueue(0, 1, memory);
  const { readable } = queue.chain();
  const up = Array.from({ length: 128 }, (_, i) => FIRST_PAGE + i);
  const down = Array.from({ length: 128 }, (_, i) => FIRST_PAGE + 255 - i);
  const numbers = new Uint8Array(Uint32Array.from([...up, ...down]).buffer);
  memory.write(0, numbers);
  readable.add(0, memory.hostAddress(0, 1024), numbers.length);
  const discarder = new PageDiscarder(memory);
  assert.equal(discarder.takeArray(readable), undefined);
  assert.equal(discarder.work(), undefined);
  assert.equal(discarder.busy, false);
  assert.equal(discarder.pages, 256);
  assert.equal(discarder.calls, 2);
  queue.close();
});

/** What the device does until it returns to its thread, turn by turn. */
function turns(driver: BalloonDriver, queue: number): number[] {
  const calls: number[] = [];
  let before = 0;
  const note = () => {
    const { discarded_pages } = driver.stats;
    calls.push(discarded_pages - before);
    before = discarded_pages;
  };
  driver.ring(queue);
  note();
  while (driver.activated.enable()) {
    driver.activated.poll();
    note();
  }
  return calls;
}

Deno.test("balloon: a turn is bounded by its page ranges, however they are packed into buffers", () => {
  using memory = GuestMemory.allocate(32 * MiB, { hugePages: false });
  using driver = new BalloonDriver({}, { memory, awake: true });
  // Every other page: no two are in a row. 16 buffers of 4096 numbers.
  const pages = Array.from({ length: 2048 }, (_, i) => 4096 + 2 * i);
  const numbers = new Uint8Array(
    Uint32Array.from([...pages, ...pages]).buffer,
  );
  const buffer = driver.buffer(numbers);
  const queue = driver.queues[INFLATE]!;
  for (let i = 0; i < 16; i++) assert.ok(queue.add([buffer]) >= 0);
  const done = turns(driver, INFLATE);
  const all = 16 * numbers.length / 4;
  assert.equal(done.reduce((a, b) => a + b), all);
  for (const calls of done) assert.ok(calls <= 256, `${calls} calls`);
  assert.ok(done.length >= all / 256, `${done.length} turns`);
  assert.equal(queue.usedIdx, 16, "every buffer is the driver's again");
  assert.equal(driver.status & Status.DEVICE_NEEDS_RESET, 0);
});

Deno.test("balloon: a large range takes several turns, too, and other queues get theirs", () => {
  using memory = GuestMemory.allocate(256 * MiB, { hugePages: false });
  using driver = new BalloonDriver({ reporting: true }, {
    memory,
    awake: true,
  });
  const [address, length] = [16 * MiB + 100, 200 * MiB];
  const whole = length / PAGE_SIZE - 1;
  driver.queues[2]!.add([{ address, length, writable: true }]);
  driver.queues[INFLATE]!.add([driver.pages(1024, 1025)]);
  driver.queues[DEFLATE]!.add([driver.pages(1)]);
  driver.ring(2);
  assert.equal(driver.queues[2]!.usedIdx, 0, "not done yet");
  driver.ring(DEFLATE);
  assert.equal(driver.queues[DEFLATE]!.usedIdx, 0, "it waits");
  const done = turns(driver, INFLATE);
  assert.equal(done.reduce((a, b) => a + b), whole + 2);
  for (const pages of done.slice(1)) assert.ok(pages <= 4096, `${pages}`);
  for (const queue of driver.queues) assert.equal(queue.usedIdx, 1);
});

/** Resets one queue (§2.6.1.1). */
function stop(driver: BalloonDriver, queue: number): void {
  driver.set(MmioRegister.QueueSel, queue);
  driver.set(MmioRegister.QueueReset, 1);
}

Deno.test("balloon: pages that are left are dropped at a reset, and touched no more", () => {
  using memory = GuestMemory.allocate(160 * MiB, { hugePages: false });
  using driver = new BalloonDriver({ reporting: true }, {
    memory,
    awake: true,
  });
  const last = memory.bytes(159 * MiB, PAGE_SIZE);
  last.fill(0x55);
  const range = { address: 2 * MiB, length: 158 * MiB, writable: true };
  for (const reset of [() => driver.reset(), () => stop(driver, 2)]) {
    driver.queues[2]!.add([range]);
    driver.ring(2);
    assert.equal(driver.activated.enable(), true);
    const { discarded_pages } = driver.stats;
    reset();
    driver.activated.poll();
    assert.equal(driver.activated.enable(), false);
    assert.equal(driver.stats.discarded_pages, discarded_pages);
    assert.equal(last[0], 0x55);
    driver.start();
  }
  // And what comes then is served.
  assert.equal(driver.send(INFLATE, driver.pages(512)), 0);
  assert.equal(driver.queues[INFLATE]!.poll(), 0);
});
