/** The network device over a real TAP, in a network namespace of its own. */
import assert from "node:assert/strict";
import { closeFd } from "../../../ffi/file.ts";
import { openTap, type Tap } from "../../../ffi/tap.ts";
import { needing, NETWORKS } from "../../../ffi/testing/needs.ts";
import { TestNamespace } from "../../../ffi/testing/tap.ts";
import { TapBackend } from "../../backends/net/tap.ts";
import { RateLimiter } from "../../runtime/rate_limiter.ts";
import { MmioRegister } from "../transport/mmio.ts";
import { NET_HEADER_SIZE, NetConfig, NetFeature } from "./spec.ts";
import type { NetLimiters } from "./pair.ts";
import { MAC, NetDriver, PLAIN, settle } from "../testing/net.ts";
import type { StartOptions } from "../testing/mod.ts";

const HOST_IP = [10, 77, 0, 1];
const GUEST_IP = [10, 77, 0, 2];
const BROADCAST = new Array(6).fill(0xff);
const STATUS = MmioRegister.Config + NetConfig.status;

/** A TAP with 10.77.0.1 in a namespace, and a driver on it. */
class TapDriver implements Disposable {
  readonly namespace = new TestNamespace();
  readonly taps: Tap[];
  readonly driver: NetDriver;

  constructor(
    options: StartOptions & { limiters?: NetLimiters } = {},
    queues = 1,
  ) {
    const { name: netns } = this.namespace;
    const multiQueue = queues > 1;
    const kind = multiQueue ? ["multi_queue"] : [];
    this.namespace.ip("tuntap", "add", "tap0", "mode", "tap", ...kind);
    const tap = { name: "tap0", netns, headerSize: NET_HEADER_SIZE };
    this.taps = Array.from(
      { length: queues },
      () => openTap({ ...tap, multiQueue }),
    );
    this.namespace.ip("addr", "add", "10.77.0.1/24", "dev", "tap0");
    this.namespace.ip("link", "set", "tap0", "up");
    this.driver = new NetDriver(
      this.taps.map((tap) => new TapBackend(tap)),
      options,
    );
  }

  /** Frames of EtherType `type` for the guest, without their headers. */
  framesOf(type: number): Uint8Array[] {
    return this.driver.frames()
      .map((bytes) => bytes.slice(NET_HEADER_SIZE))
      .filter((bytes) => bytes[12]! * 256 + bytes[13]! === type);
  }

  /** Sends a frame and waits for one of the same type. */
  exchange(frame: number[], type: number): Uint8Array {
    const header = new Uint8Array(NET_HEADER_SIZE);
    this.driver.queueFrame(header, Uint8Array.from(frame));
    this.driver.ring(1);
    let answers: Uint8Array[] = [];
    this.driver.until(() => {
      answers = this.framesOf(type);
      return answers.length > 0;
    }, "an answer from the host");
    return answers[0]!;
  }

  [Symbol.dispose](): void {
    this.driver.close();
    for (const { fd } of this.taps) closeFd(fd);
    this.namespace[Symbol.dispose]();
  }
}

function arpRequest(): number[] {
  const target = [0, 0, 0, 0, 0, 0, ...HOST_IP];
  return [
    ...[...BROADCAST, ...MAC, 0x08, 0x06],
    ...[0, 1, 8, 0, 6, 4, 0, 1, ...MAC, ...GUEST_IP, ...target],
    ...new Array(18).fill(0),
  ];
}

/** RFC 1071. */
function checksum(bytes: number[]): number[] {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += bytes[i]! * 256 + (bytes[i + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return [(~sum >> 8) & 0xff, ~sum & 0xff];
}

function ping(hostMac: number[], size: number): number[] {
  const payload = Array.from({ length: size }, (_, i) => i & 0xff);
  const echo = [8, 0, 0, 0, 0x12, 0x34, 0, 1, ...payload];
  echo.splice(2, 2, ...checksum(echo));
  const total = 20 + echo.length;
  const ip = [0x45, 0, total >> 8, total & 0xff, 0, 0, 0, 0, 64, 1, 0, 0];
  ip.push(...GUEST_IP, ...HOST_IP);
  ip.splice(10, 2, ...checksum(ip));
  return [...hostMac, ...MAC, 0x08, 0x00, ...ip, ...echo];
}

for (
  const [name, features] of [
    ["one buffer per frame", PLAIN],
    ["mergeable buffers", [NetFeature.MRG_RXBUF]],
    ["all features", undefined],
  ] as const
) {
  Deno.test(needing([NETWORKS], {
    name: `net over a TAP: the host answers ARP and ping, ${name}`,
    fn() {
      using setup = new TapDriver({ features });
      const { driver } = setup;
      driver.post(100, features === PLAIN ? 1526 : 700);
      const arp = setup.exchange(arpRequest(), 0x0806);
      assert.deepEqual([...arp.slice(20, 22)], [0, 2], "an ARP reply");
      assert.deepEqual([...arp.slice(28, 32)], HOST_IP);
      const hostMac = [...arp.slice(22, 28)];
      for (const size of [8, 1000, 1472]) {
        driver.post(5, features === PLAIN ? 1526 : 700);
        const request = ping(hostMac, size);
        const reply = setup.exchange(request, 0x0800);
        assert.deepEqual([...reply.slice(0, 6)], [...MAC]);
        assert.equal(reply[34], 0, "an echo reply");
        assert.deepEqual([...reply.slice(38)], request.slice(38));
      }
    },
  }));
}

Deno.test(needing([NETWORKS], {
  name: "net over a TAP: frames wait in the TAP while there are no buffers",
  fn() {
    using setup = new TapDriver({ features: PLAIN });
    const { driver } = setup;
    const header = new Uint8Array(NET_HEADER_SIZE);
    for (let i = 0; i < 20; i++) {
      driver.queueFrame(header, Uint8Array.from(arpRequest()));
    }
    driver.ring(1);
    assert.equal(driver.rx.usedIdx, 0);
    driver.post(100, 1526);
    let replies = 0;
    driver.until(() => {
      replies += setup.framesOf(0x0806).length;
      return replies === 20;
    }, "20 ARP replies");
  },
}));

Deno.test(needing([NETWORKS], {
  name: "net over a TAP: at the limit, frames wait in the TAP",
  fn() {
    let now = 0;
    const ops = { size: 2, refill_time: 2_000_000 };
    const rx = new RateLimiter({ ops }, () => now);
    using setup = new TapDriver({ features: PLAIN, limiters: { rx } });
    const { driver } = setup;
    driver.post(100, 1526);
    const header = new Uint8Array(NET_HEADER_SIZE);
    for (let i = 0; i < 10; i++) {
      driver.queueFrame(header, Uint8Array.from(arpRequest()));
    }
    driver.ring(1); // its answers, and what the host says of its own accord
    driver.until(() => driver.rx.usedIdx === 2, "as many as the limit allows");
    assert.equal(settle(driver), 0);
    assert.equal(driver.loop.turn(100), 0, "no event, with frames in the TAP");
    for (let frames = 3; frames < 10; frames++) {
      now += 1_000_000;
      rx.onReady();
      // The host may take its time for an answer.
      driver.until(() => driver.rx.usedIdx >= frames, "one frame more");
      assert.equal(driver.rx.usedIdx, frames);
    }
  },
}));

Deno.test(needing([NETWORKS], {
  name: "net over a TAP: four pairs, on four queues of it",
  fn() {
    using setup = new TapDriver({}, 4);
    const { driver } = setup;
    // The host says something of its own accord, but not for ever.
    const rests = () =>
      driver.until(() => driver.turn() === 0, "no queue spins");
    assert.equal(driver.control(8, 4, 0, 4, 0), 0);
    rests();
    for (const pair of [0, 1, 2, 3]) {
      for (let i = 0; i < 50; i++) {
        driver.queues[2 * pair]!.add([driver.room(4096)]);
      }
      driver.ring(2 * pair);
    }
    // The host answers an interface's request wherever its flow hashes to.
    const header = new Uint8Array(NET_HEADER_SIZE);
    const request = () => driver.buffer(Uint8Array.from(arpRequest()));
    for (const pair of [0, 1, 2, 3]) {
      driver.queues[2 * pair + 1]!.add([driver.buffer(header), request()]);
      driver.ring(2 * pair + 1);
      assert.ok(driver.queues[2 * pair + 1]!.poll() >= 0, `pair ${pair} sends`);
    }
    let answers = 0;
    driver.until(() => {
      for (const pair of [0, 1, 2, 3]) {
        while (driver.queues[2 * pair]!.poll() >= 0) answers++;
      }
      return answers >= 4;
    }, "answers on any pair");
    // Out of use, a queue gets nothing: all comes to the first one.
    assert.equal(driver.control(8, 4, 0, 1, 0), 0);
    rests();
    for (const pair of [0, 1, 2, 3]) {
      while (driver.queues[2 * pair]!.poll() >= 0);
    }
    driver.queues[1]!.add([driver.buffer(header), request()]);
    driver.ring(1);
    driver.until(() => driver.queues[0]!.poll() >= 0, "an answer on the first");
  },
}));

Deno.test(needing([NETWORKS], {
  name: "net over a TAP: the link goes down with the interface",
  fn() {
    using setup = new TapDriver({ features: PLAIN });
    // Enough for what the host says of its own accord: while there are none,
    // the TAP is not watched.
    setup.driver.post(100, 1526);
    setup.namespace.ip("link", "delete", "tap0");
    setup.driver.until(() => setup.driver.get(STATUS, 2) === 0, "link down");
    assert.equal(setup.driver.turn(), 0, "a dead TAP doesn't spin");
  },
}));
