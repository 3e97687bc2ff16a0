/** The network device's limits over each kind of backend, and with real timers. */
import assert from "node:assert/strict";
import { libc } from "../../../ffi/libc.ts";
import { MiB } from "../../../guest/layout.ts";
import { GuestMemory } from "../../../guest/memory.ts";
import { HandlerBackend } from "../../backends/net/handler.ts";
import { StreamBackend } from "../../backends/net/stream.ts";
import { MemoryNet, SocketPair } from "../../backends/testing/net.ts";
import { RateLimiter } from "../../runtime/rate_limiter.ts";
import { NET_HEADER_SIZE } from "./spec.ts";
import { frame, NetDriver, settle } from "../testing/net.ts";

/** Ten at once, then one per 100 seconds: no real timer comes between. */
const OPS = { ops: { size: 10, refill_time: 1_000_000 } };
const PER_FRAME = 100_000;
const FULL = 1526;

/** Descriptors that this process has. */
function descriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

Deno.test("net RX limit: frames that the backend has buffered are no work, either", () => {
  using memory = GuestMemory.allocate(4 * MiB, { hugePages: false });
  for (const awake of [false, true]) {
    using pair = new SocketPair(true);
    const backend = new StreamBackend(pair.device, memory, NET_HEADER_SIZE);
    let now = 0;
    const rx = new RateLimiter(OPS, () => now);
    using driver = new NetDriver(backend, { memory, awake, limiters: { rx } });
    driver.post(60, FULL);
    const bytes = new Uint8Array(64 * 12);
    for (let at = 0; at < bytes.length; at += 64) bytes[at + 3] = 60;
    libc.write_u32(pair.network, bytes, bytes.length);
    settle(driver);
    assert.equal(driver.frames().length, 10);
    assert.equal(backend.buffered, true);
    assert.equal(
      driver.activated.enable(),
      false,
      "or the thread never sleeps",
    );
    assert.equal(settle(driver), 0);
    now += 100 * PER_FRAME;
    rx.onReady();
    assert.equal(driver.frames().length, 2);
  }
});

Deno.test("net limits: a function's answers wait, and its network is not watched", () => {
  using memory = GuestMemory.allocate(4 * MiB, { hugePages: false });
  const twice = (bytes: Uint8Array) => [bytes, bytes];
  const quiet = () => {};
  const backend = new HandlerBackend(twice, memory, NET_HEADER_SIZE, quiet);
  let now = 0;
  const rx = new RateLimiter(OPS, () => now);
  using driver = new NetDriver(backend, { memory, limiters: { rx } });
  driver.post(60, FULL);
  for (let i = 0; i < 7; i++) driver.queueFrame(frame(60));
  driver.ring(1);
  settle(driver);
  assert.equal(driver.frames().length, 10);
  assert.equal(settle(driver), 0);
  now += 100 * PER_FRAME;
  rx.onReady();
  assert.equal(driver.frames().length, 4);
  assert.equal(settle(driver), 0, "and none is left");
});

Deno.test("net limits: when the link goes down, frames that wait are given back in time", () => {
  using memory = GuestMemory.allocate(4 * MiB, { hugePages: false });
  using pair = new SocketPair(true);
  const backend = new StreamBackend(pair.device, memory, NET_HEADER_SIZE);
  let now = 0;
  const limiters = {
    rx: new RateLimiter(OPS, () => now),
    tx: new RateLimiter(OPS, () => now),
  };
  using driver = new NetDriver(backend, { memory, limiters });
  for (let i = 0; i < 12; i++) driver.queueFrame(frame(60));
  driver.ring(1);
  pair.hangUp();
  settle(driver);
  assert.equal(driver.tx.usedIdx, 10);
  now += 2 * PER_FRAME;
  limiters.rx.onReady();
  limiters.tx.onReady();
  assert.equal(driver.tx.usedIdx, 12);
  assert.equal(settle(driver), 0);
});

Deno.test("net limits: the timers of the loop do it, too, and end with the device", () => {
  using memory = GuestMemory.allocate(4 * MiB, { hugePages: false });
  for (const awake of [false, true]) {
    const before = descriptors();
    const net = new MemoryNet(memory);
    const limits = { ops: { size: 2, refill_time: 20 } };
    const limiters = {
      rx: RateLimiter.from(limits)!,
      tx: RateLimiter.from(limits)!,
    };
    const driver = new NetDriver(net, { memory, awake, limiters });
    const start = performance.now();
    driver.post(60, FULL);
    for (let i = 0; i < 9; i++) {
      net.deliver(frame(60));
      driver.queueFrame(frame(60));
    }
    driver.ring(1);
    driver.until(() => net.sent.length === 9, "the last frame to send");
    driver.until(() => driver.rx.usedIdx === 9, "the last frame to receive");
    assert.ok(performance.now() - start >= 70, "seven had to wait 10 ms each");
    driver.queueFrame(frame(60));
    driver.queueFrame(frame(60));
    driver.queueFrame(frame(60));
    driver.ring(1);
    driver.close(); // while the timer runs
    assert.equal(descriptors(), before);
  }
});
