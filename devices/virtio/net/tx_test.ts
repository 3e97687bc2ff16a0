/** The network device: frames from the guest (virtio 1.2 §5.1.6.2), link. */
import assert from "node:assert/strict";
import { Errno } from "../../../ffi/errno.ts";
import { TapOffload } from "../../../ffi/tap.ts";
import { MiB } from "../../../guest/layout.ts";
import { GuestMemory } from "../../../guest/memory.ts";
import { TapBackend } from "../../backends/net/tap.ts";
import { MemoryNet, SocketPair } from "../../backends/testing/net.ts";
import { MmioRegister } from "../transport/mmio.ts";
import { NetConfig, NetFeature } from "./spec.ts";
import { assertFrames, frame, MAC, NetDriver, PLAIN } from "../testing/net.ts";
import { Feature, Interrupt } from "../spec.ts";
import type { StartOptions } from "../testing/mod.ts";

interface Setup extends Disposable {
  net: MemoryNet;
  driver: NetDriver;
}

function setUp(options: StartOptions = {}): Setup {
  const memory = GuestMemory.allocate(4 * MiB, { hugePages: false });
  const net = new MemoryNet(memory, 1400);
  const driver = new NetDriver(net, { memory, ...options });
  return {
    net,
    driver,
    [Symbol.dispose]() {
      driver.close();
      net.close();
      memory.free();
    },
  };
}

/** The heads that the driver gets back, in order. */
function completed(driver: NetDriver): number[] {
  const heads: number[] = [];
  for (let head = driver.tx.poll(); head >= 0; head = driver.tx.poll()) {
    assert.equal(driver.tx.usedLength, 0, "nothing is written");
    heads.push(head);
  }
  return heads;
}

const CONFIG = MmioRegister.Config;

Deno.test("net: configuration has the address, link up, and the MTU (§5.1.4)", () => {
  using setup = setUp();
  const { driver } = setup;
  const mac = Array.from(MAC, (_, i) => driver.get(CONFIG + i, 1));
  assert.deepEqual(mac, [...MAC]);
  assert.equal(driver.get(CONFIG + NetConfig.status, 2), 1);
  assert.equal(driver.get(CONFIG + NetConfig.mtu, 2), 1400);
});

Deno.test("net TX: a frame leaves as it is, header included, whatever its pieces", () => {
  using setup = setUp({ features: PLAIN });
  const { net, driver } = setup;
  const sent = frame(1400);
  sent.set([1, 1, 54, 0, 0x78, 5, 34, 0, 16, 0]); // flags, TSO4, sizes, csum
  const heads = [[1412], [12, 1400], [10, 2, 14, 1386], [1, 1411]].map(
    (lengths) => {
      let at = 0;
      return driver.queueFrame(...lengths.map((length) => {
        at += length;
        return sent.slice(at - length, at);
      }));
    },
  );
  driver.ring(1);
  assertFrames(net.sent, [sent, sent, sent, sent]);
  assert.deepEqual(completed(driver), heads);
  assert.equal(driver.interrupts, 1, "one for the batch");
});

Deno.test("net TX: through indirect tables and with EVENT_IDX", () => {
  const features = [Feature.INDIRECT_DESC, Feature.EVENT_IDX];
  using setup = setUp({ features });
  const { net, driver } = setup;
  for (let i = 0; i < 600; i++) {
    const sent = frame(60, i);
    const buffers = [
      driver.buffer(sent.slice(0, 12)),
      driver.buffer(sent.slice(12)),
    ];
    const head = driver.tx.addIndirect(buffers, driver.allocate(32));
    assert.equal(driver.kick(1), true);
    driver.tx.armInterrupt();
    assert.deepEqual(completed(driver), [head]);
    assertFrames(net.sent.splice(0), [sent]);
  }
});

Deno.test("net TX: EAGAIN keeps the frame, and it goes on in order when there is room", () => {
  for (const features of [PLAIN, [Feature.EVENT_IDX]]) {
    using setup = setUp({ features });
    const { net, driver } = setup;
    net.room = 3;
    const sent = Array.from({ length: 10 }, (_, i) => frame(60 + i, i));
    const heads = sent.map((bytes) => driver.queueFrame(bytes));
    driver.ring(1);
    assertFrames(net.sent, sent.slice(0, 3));
    assert.deepEqual(completed(driver), heads.slice(0, 3));
    assert.equal(driver.interrupts, 1);
    net.room = 1;
    driver.turn();
    assertFrames(net.sent, sent.slice(0, 4));
    driver.turn();
    driver.ring(1); // a doorbell meanwhile changes nothing
    assertFrames(net.sent, sent.slice(0, 4));
    net.room = Infinity;
    driver.turn();
    assertFrames(net.sent, sent);
    assert.deepEqual(completed(driver), heads.slice(3));
    assert.equal(driver.turn(), 0, "room is not watched for any more");
    driver.queueFrame(frame(99));
    assert.equal(driver.kick(1), true, "doorbells are wanted again");
    assert.equal(net.sent.length, 11);
  }
});

Deno.test("net TX: the backend gets whole batches, and no frame waits for a full one", () => {
  using setup = setUp({ features: PLAIN });
  const { net, driver } = setup;
  const sent = Array.from({ length: 20 }, (_, i) => frame(60 + i, i));
  const heads = sent.map((bytes) => driver.queueFrame(bytes));
  driver.ring(1);
  assert.deepEqual(net.batches, [8, 8, 4]);
  assertFrames(net.sent, sent);
  assert.deepEqual(completed(driver), heads);
});

Deno.test("net TX: frames without room within a batch are sent before newer ones", () => {
  using setup = setUp({ features: PLAIN });
  const { net, driver } = setup;
  // A backend may have taken a frame behind one that it had no room for.
  const { EAGAIN } = Errno;
  net.failures.push(0, EAGAIN, 0, EAGAIN, EAGAIN);
  const sent = Array.from({ length: 12 }, (_, i) => frame(60, i));
  const heads = sent.map((bytes) => driver.queueFrame(bytes));
  driver.ring(1);
  driver.turn();
  const order = [5, 6, 7, 1, 3, 4, 8, 9, 10, 11];
  assertFrames(net.sent, order.map((i) => sent[i]!));
  const given = [0, 2, ...order].map((i) => heads[i]!);
  assert.deepEqual(completed(driver), given);
});

Deno.test("net TX: a frame that the backend refuses is lost, as on a wire", () => {
  using setup = setUp({ features: PLAIN });
  const { net, driver } = setup;
  net.failures.push(Errno.EIO, Errno.EINVAL);
  const sent = [frame(60, 1), frame(60, 2), frame(60, 3)];
  const heads = sent.map((bytes) => driver.queueFrame(bytes));
  driver.ring(1);
  assertFrames(net.sent, [sent[2]!]);
  assert.deepEqual(completed(driver), heads);
  assert.equal(driver.status, 0xf);
});

Deno.test("net TX: a chain with nothing to send comes back", () => {
  using setup = setUp({ features: PLAIN });
  const { net, driver } = setup;
  const head = driver.tx.add([driver.room(2000)]);
  driver.ring(1);
  assert.deepEqual(completed(driver), [head]);
  assert.equal(net.sent.length, 0);
});

Deno.test("net TX: a frame that waits for room is not sent after a reset (§2.4)", () => {
  using setup = setUp({ features: PLAIN });
  const { net, driver } = setup;
  net.room = 0;
  driver.queueFrame(frame(60));
  driver.ring(1);
  driver.start({ features: PLAIN });
  net.room = Infinity;
  driver.turn();
  assert.equal(net.sent.length, 0);
  driver.queueFrame(frame(70));
  driver.ring(1);
  assertFrames(net.sent, [frame(70)]);
});

Deno.test("net TX: stopping one queue leaves the other running (§4.2.2.2)", () => {
  using setup = setUp({ features: PLAIN });
  const { net, driver } = setup;
  driver.post(2, 1526);
  driver.set(MmioRegister.QueueSel, 1);
  driver.set(MmioRegister.QueueReady, 0);
  driver.queueFrame(frame(60));
  driver.ring(1);
  assert.equal(net.sent.length, 0);
  net.deliver(frame(60));
  driver.turn();
  assert.equal(driver.frames().length, 1);
});

Deno.test("net: the host hears which offloads the guest takes (§5.1.3)", () => {
  using setup = setUp({ features: PLAIN });
  const { net, driver } = setup;
  assert.equal(net.offload, 0);
  const { GUEST_CSUM, GUEST_TSO4, GUEST_TSO6, GUEST_ECN } = NetFeature;
  const { CSUM, TSO4, TSO6, TSO_ECN } = TapOffload;
  driver.start({ features: [GUEST_CSUM] });
  assert.equal(net.offload, CSUM);
  driver.start({ features: [GUEST_CSUM, GUEST_TSO4, GUEST_TSO6, GUEST_ECN] });
  assert.equal(net.offload, CSUM | TSO4 | TSO6 | TSO_ECN);
});

Deno.test("net: offloads that the host refuses are off, not what they were", () => {
  using setup = setUp();
  const { net, driver } = setup;
  assert.notEqual(net.offload, 0);
  net.refuse = (offload) => offload !== 0 && (offload & TapOffload.CSUM) === 0;
  driver.start({ features: [NetFeature.GUEST_TSO4] });
  assert.equal(net.offload, 0);
});

/** A driver over a socket, whose other end can hang up. */
function socketSetUp(): { pair: SocketPair; driver: NetDriver } & Disposable {
  const pair = new SocketPair();
  const backend = new TapBackend({ fd: pair.device, mtu: 1500 });
  const driver = new NetDriver(backend, { features: PLAIN });
  return {
    pair,
    driver,
    [Symbol.dispose]() {
      driver.close();
      pair[Symbol.dispose]();
    },
  };
}

Deno.test("net: when the backend hangs up, the link goes down (§5.1.4.2)", () => {
  using setup = socketSetUp();
  const { pair, driver } = setup;
  driver.post(2, 1526);
  const generation = driver.get(MmioRegister.ConfigGeneration);
  pair.hangUp();
  driver.turn();
  assert.equal(driver.get(CONFIG + NetConfig.status, 2), 0);
  assert.notEqual(driver.get(MmioRegister.ConfigGeneration), generation);
  assert.equal(driver.acknowledge(), Interrupt.CONFIG_CHANGE);
  assert.equal(driver.turn(), 0, "a dead descriptor doesn't spin");

  const head = driver.queueFrame(frame(60));
  driver.ring(1);
  assert.deepEqual(completed(driver), [head], "frames go nowhere");
  driver.start({ features: PLAIN });
  assert.equal(driver.get(CONFIG + NetConfig.status, 2), 0);
  driver.ring(0);
  driver.ring(1);
});

Deno.test("net: a frame that waits for room is given back when the link goes down", () => {
  using setup = socketSetUp();
  const { pair, driver } = setup;
  const heads: number[] = [];
  while (driver.tx.freeDescriptors > 0) {
    heads.push(driver.queueFrame(frame(9000)));
  }
  driver.ring(1);
  const sent = completed(driver).length;
  assert.ok(sent > 0 && sent < heads.length, "the socket is full");
  pair.hangUp();
  driver.turn();
  assert.equal(sent + completed(driver).length, heads.length);
});
