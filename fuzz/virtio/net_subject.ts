/**
 * The network device under the fuzzer: one pair of queues or two, with limits
 * in some inputs, over networks in memory.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Errno } from "../../ffi/errno.ts";
import type { Random } from "../../guest/testing/random.ts";
import { MemoryNet } from "../../devices/backends/testing/net.ts";
import { RateLimiter } from "../../devices/runtime/rate_limiter.ts";
import { Net } from "../../devices/virtio/net/net.ts";
import {
  NetControlClass,
  VQ_PAIRS_SET,
} from "../../devices/virtio/net/spec.ts";
import { frame } from "../../devices/virtio/testing/net.ts";
import {
  complete,
  type MakeSubject,
  type Part,
  type Subject,
} from "./subject.ts";

const MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);
const FAILURES = [Errno.EIO, Errno.EINTR, Errno.ENOSPC, Errno.EAGAIN];

/** See the module. */
export const net: MakeSubject = (memory, random): Subject => {
  let now = 0; // the limiters' time: no real one, so that inputs repeat
  const rx = limiter(random, () => now);
  const tx = limiter(random, () => now);
  const later = (milliseconds: number) => {
    now += milliseconds;
    rx?.onReady();
    tx?.onReady();
  };
  const hosts = Array.from({ length: 1 + random.below(2) }, () => {
    const host = new MemoryNet(memory);
    host.refuse = (offload) => offload !== 0 && random.oneIn(2);
    return host;
  });
  return {
    device: new Net(hosts, MAC, { rx, tx }),
    request(random, index) {
      // With two pairs, it is up to MQ which queue is for control.
      const control = index === 2 * hosts.length ||
        (index === 2 && random.oneIn(2));
      if (control) return command(random);
      return index % 2 === 0 ? room(random) : sent(random);
    },
    host(random) {
      const host = random.of(hosts);
      host.room = random.oneIn(3) ? random.below(20) : Infinity;
      if (random.oneIn(6)) host.failures.push(random.of(FAILURES));
      if (host.waiting.length > 100) host.waiting.length = 0;
      const size = random.oneIn(6) ? 65_000 : random.below(3000);
      host.deliver(frame(size), frame(random.below(200)));
      host.sent.length = 0;
      if (random.oneIn(2)) later(random.below(50));
    },
    prove(driver) {
      later(1e6);
      const host = hosts[0]!;
      host.room = Infinity;
      host.failures.length = 0;
      host.waiting.length = 0;
      complete(driver, 1, [frame(70)]);
      assert.deepEqual(host.sent.at(-1), frame(70));
      const room = Array.from({ length: 70 }, () => driver.room(1526));
      for (const buffer of room) driver.rings[0]!.add([buffer]);
      driver.ring(0);
      host.deliver(frame(60));
      driver.until(() => {
        driver.turn();
        return driver.rings[0]!.poll() >= 0;
      }, "the frame");
    },
    [Symbol.dispose]() {},
  };
};

/** A limiter in every other input. */
function limiter(
  random: Random,
  clock: () => number,
): RateLimiter | undefined {
  if (random.oneIn(2)) return undefined;
  const bandwidth = { size: 1 + random.below(9000), refill_time: 50 };
  const ops = { size: 1 + random.below(20), refill_time: 50 };
  const limits = random.of([{ bandwidth }, { ops }, { bandwidth, ops }]);
  return new RateLimiter(limits, clock);
}

/** A buffer to receive into. */
function room(random: Random): Part[] {
  const sizes = [1, 12, 13, 60, 1526, 4096, random.below(9000) + 1];
  return Array.from({ length: 1 + random.below(3) }, () => random.of(sizes));
}

/** A frame to send. */
function sent(random: Random): Part[] {
  return random.oneIn(4)
    ? [random.bytes(12), random.bytes(1 + random.below(9000))]
    : [frame(random.below(3000))];
}

/** Class, command, data, acknowledgement. */
function command(random: Random): Part[] {
  if (random.oneIn(4)) {
    const pairs = Uint8Array.of(1 + random.below(2), 0);
    return [Uint8Array.of(NetControlClass.MQ, VQ_PAIRS_SET), pairs, 1];
  }
  const command = Uint8Array.of(random.below(6), random.below(4));
  return [command, random.bytes(random.below(20)), 1]
    .filter((part) => typeof part === "number" || part.length > 0);
}
