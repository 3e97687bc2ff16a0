/** The network device over a real TAP, in a network namespace of its own. */
import assert from "node:assert/strict";
import { closeFd } from "../../ffi/file.ts";
import { openTap, type Tap } from "../../ffi/tap.ts";
import { canUseTap, TestNamespace } from "../../ffi/tap_testing.ts";
import { TapBackend } from "../net/tap.ts";
import { MmioRegister } from "./mmio.ts";
import { NET_HEADER_SIZE, NetConfig, NetFeature } from "./net_spec.ts";
import { MAC, NetDriver, PLAIN } from "./net_testing.ts";
import type { StartOptions } from "./testing.ts";

const HOST_IP = [10, 77, 0, 1];
const GUEST_IP = [10, 77, 0, 2];
const BROADCAST = new Array(6).fill(0xff);
const STATUS = MmioRegister.Config + NetConfig.status;
const ignore = !canUseTap();
const why = ignore ? " [ignored: needs root, ip and /dev/net/tun]" : "";

/** A TAP with 10.77.0.1 in a namespace, and a driver on it. */
class TapDriver implements Disposable {
  readonly namespace = new TestNamespace();
  readonly tap: Tap;
  readonly driver: NetDriver;

  constructor(options: StartOptions = {}) {
    const { name: netns } = this.namespace;
    this.namespace.ip("tuntap", "add", "tap0", "mode", "tap");
    this.tap = openTap({ name: "tap0", netns, headerSize: NET_HEADER_SIZE });
    this.namespace.ip("addr", "add", "10.77.0.1/24", "dev", "tap0");
    this.namespace.ip("link", "set", "tap0", "up");
    this.driver = new NetDriver(new TapBackend(this.tap), options);
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
    closeFd(this.tap.fd);
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
  Deno.test(`net over a TAP: the host answers ARP and ping, ${name}${why}`, {
    ignore,
  }, () => {
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
  });
}

Deno.test(
  `net over a TAP: frames wait in the TAP while there are no buffers${why}`,
  { ignore },
  () => {
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
);

Deno.test(`net over a TAP: the link goes down with the interface${why}`, {
  ignore,
}, () => {
  using setup = new TapDriver({ features: PLAIN });
  setup.driver.post(1, 1526);
  setup.namespace.ip("link", "delete", "tap0");
  setup.driver.until(() => setup.driver.get(STATUS, 2) === 0, "link down");
  assert.equal(setup.driver.turn(), 0, "a dead TAP doesn't spin");
});
