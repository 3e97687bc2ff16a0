/** The control queue and several pairs (virtio 1.2 §5.1.6.5, §5.1.2). */
import assert from "node:assert/strict";
import { MiB } from "../../../guest/layout.ts";
import { GuestMemory } from "../../../guest/memory.ts";
import { MemoryNet } from "../../backends/testing/net.ts";
import { MmioRegister } from "../transport/mmio.ts";
import { NetAck, NetConfig, NetFeature } from "./spec.ts";
import { assertFrames, frame, MAC, NetDriver } from "../testing/net.ts";
import { Interrupt, Status } from "../spec.ts";
import type { StartOptions } from "../testing/mod.ts";

const CONFIG = MmioRegister.Config;
const { OK, ERR } = NetAck;
/** Little-endian counts, and addresses, of §5.1.6.5.2's tables. */
const ADDRESS = [2, 0, 0, 0, 0, 9];

interface Setup extends Disposable {
  nets: MemoryNet[];
  driver: NetDriver;
}

function setUp(pairs = 1, options: StartOptions = {}): Setup {
  const memory = GuestMemory.allocate(4 * MiB, { hugePages: false });
  const nets = Array.from({ length: pairs }, () => new MemoryNet(memory));
  const driver = new NetDriver(nets, { memory, ...options });
  return {
    nets,
    driver,
    [Symbol.dispose]() {
      driver.close();
      nets.forEach((net) => net.close());
      memory.free();
    },
  };
}

Deno.test("net control: receive modes are accepted (§5.1.6.5.1)", () => {
  using setup = setUp();
  const { driver } = setup;
  assert.equal(driver.control(2, 0, 0, 1), OK); // promiscuous
  assert.equal(driver.control(2, 0, 1, 0), OK); // not all multicast
  assert.equal(driver.control(2, 0, 2, 1), ERR, "CTRL_RX_EXTRA isn't offered");
  assert.equal(driver.control(2, 0, 0), ERR, "no data");
});

Deno.test("net control: address tables must be well-formed (§5.1.6.5.2)", () => {
  using setup = setUp();
  const { driver } = setup;
  const none = [0, 0, 0, 0];
  const one = [1, 0, 0, 0, ...ADDRESS];
  assert.equal(driver.control(2, 1, 0, ...none, ...none), OK);
  assert.equal(driver.control(2, 1, 0, ...one, ...none), OK);
  assert.equal(driver.control(2, 1, 0, ...one, ...one), OK);
  const bad = [
    [],
    one, // no second table
    [2, 0, 0, 0, ...ADDRESS, ...none],
    [0xff, 0xff, 0xff, 0xff, ...ADDRESS, ...none],
    [...one, ...one, 0],
  ];
  for (const data of bad) {
    assert.equal(driver.control(2, 1, 0, ...data), ERR, `${data}`);
  }
});

Deno.test("net control: ADDR_SET changes the address that the driver reads (§5.1.6.5.2)", () => {
  using setup = setUp();
  const { driver } = setup;
  const mac = () =>
    Array.from(MAC, (_, i) => driver.get(CONFIG + NetConfig.mac + i, 1));
  assert.deepEqual(mac(), [...MAC]);
  assert.equal(driver.control(2, 1, 1, ...ADDRESS.slice(1)), ERR, "too short");
  assert.equal(driver.control(2, 1, 1, ...ADDRESS, 0), ERR, "too long");
  assert.deepEqual(mac(), [...MAC]);
  assert.equal(driver.control(2, 1, 1, ...ADDRESS), OK);
  assert.deepEqual(mac(), ADDRESS);
});

Deno.test("net control: an address that a driver has set is gone with a reset (§2.4)", () => {
  using setup = setUp();
  const { driver } = setup;
  const mac = () =>
    Array.from(MAC, (_, i) => driver.get(CONFIG + NetConfig.mac + i, 1));
  assert.equal(driver.control(2, 1, 1, ...ADDRESS), OK);
  const status = driver.get(CONFIG + NetConfig.status, 2);
  const before = driver.interrupts;
  driver.reset();
  assert.deepEqual(mac(), [...MAC], "the next driver begins with its own");
  assert.equal(driver.get(CONFIG + NetConfig.status, 2), status, "and a link");
  assert.equal(driver.interrupts, before, "nobody is told: nobody is there");
});

Deno.test("net control: unknown classes and commands are errors, and harmless", () => {
  using setup = setUp();
  const { driver } = setup;
  for (const [kind, command] of [[9, 0], [1, 2], [3, 1], [4, 1], [2, 0]]) {
    assert.equal(driver.control(2, kind!, command!, 1, 0), ERR);
  }
  assert.equal(driver.control(2, 0), ERR, "half a header");
  assert.equal(driver.status & Status.DEVICE_NEEDS_RESET, 0);
});

Deno.test("net control: a command without room for its ack needs a reset", () => {
  using setup = setUp();
  const { driver } = setup;
  driver.queues[2]!.add([driver.buffer(Uint8Array.of(0, 0, 1))]);
  driver.ring(2);
  assert.equal(
    driver.status & Status.DEVICE_NEEDS_RESET,
    Status.DEVICE_NEEDS_RESET,
  );
  driver.start();
  assert.equal(driver.control(2, 0, 0, 1), OK, "and works after it");
});

Deno.test("net control: the driver announces itself when it is asked to (§5.1.6.5.4)", () => {
  using setup = setUp();
  const { driver } = setup;
  const status = () => driver.get(CONFIG + NetConfig.status, 2);
  assert.equal(status(), 1);
  driver.activated.command("announce");
  assert.equal(status(), 3);
  assert.equal(driver.acknowledge(), Interrupt.CONFIG_CHANGE);
  assert.equal(driver.control(2, 3, 0), OK);
  assert.equal(status(), 1);
  assert.throws(() => driver.activated.command("shout"), /"announce"/);
  driver.start({ features: [NetFeature.CTRL_VQ] });
  assert.throws(
    () => driver.activated.command("announce"),
    /driver does not announce/,
  );
});

Deno.test("net pairs: all are offered, one is in use until the driver says more (§5.1.6.5.5)", () => {
  using setup = setUp(4);
  const { nets, driver } = setup;
  assert.equal(driver.get(CONFIG + NetConfig.max_virtqueue_pairs, 2), 4);
  assert.equal(driver.queues.length, 9);
  const inUse = () => nets.map((net) => net.inUse ?? true);
  assert.deepEqual(inUse(), [true, false, false, false]);
  assert.equal(driver.control(8, 4, 0, 3, 0), OK);
  assert.deepEqual(inUse(), [true, true, true, false]);
  assert.equal(driver.control(8, 4, 0, 2, 0), OK);
  assert.deepEqual(inUse(), [true, true, false, false]);
  for (const count of [0, 5, 0x103]) {
    assert.equal(driver.control(8, 4, 0, count & 0xff, count >> 8), ERR);
  }
  assert.deepEqual(inUse(), [true, true, false, false]);
  driver.start();
  assert.deepEqual(inUse(), [true, false, false, false], "and after a reset");
});

Deno.test("net pairs: each has frames of its own, in both directions", () => {
  using setup = setUp(3);
  const { nets, driver } = setup;
  assert.equal(driver.control(6, 4, 0, 3, 0), OK);
  const rooms = [0, 1, 2].map((pair) => {
    const room = driver.room(1526);
    driver.queues[2 * pair]!.add([room]);
    driver.ring(2 * pair);
    driver.queues[2 * pair + 1]!.add([driver.buffer(frame(60, 10 + pair))]);
    driver.ring(2 * pair + 1);
    return room;
  });
  nets.forEach((net, pair) => net.deliver(frame(100, pair)));
  driver.turn();
  nets.forEach((net, pair) => {
    assertFrames(net.sent, [frame(60, 10 + pair)]);
    assert.ok(driver.queues[2 * pair + 1]!.poll() >= 0);
    assert.ok(driver.queues[2 * pair]!.poll() >= 0);
    const bytes = driver.bytes(rooms[pair]!).slice(12, 112);
    assert.deepEqual(bytes, frame(100, pair).slice(12));
  });
});

Deno.test("net pairs: one that is out of use swallows frames and brings none", () => {
  using setup = setUp(2);
  const { nets, driver } = setup;
  const room = driver.room(1526);
  driver.queues[2]!.add([room]);
  driver.ring(2);
  driver.queues[3]!.add([driver.buffer(frame(60))]);
  driver.ring(3);
  nets[1]!.deliver(frame(100));
  assert.equal(driver.turn(), 0);
  assert.equal(nets[1]!.sent.length, 0);
  assert.ok(driver.queues[3]!.poll() >= 0, "given back");
  assert.equal(driver.queues[2]!.poll(), -1);
  assert.equal(driver.control(4, 4, 0, 2, 0), OK);
  driver.turn();
  assert.ok(driver.queues[2]!.poll() >= 0, "it waited for the pair");
});

Deno.test("net pairs: without MQ there is one, and control is queue 2 (§5.1.2)", () => {
  using setup = setUp(2, { features: [NetFeature.CTRL_VQ] });
  const { nets, driver } = setup;
  assert.equal(driver.control(2, 0, 0, 1), OK);
  assert.equal(driver.control(2, 4, 0, 2, 0), ERR);
  assert.equal(driver.control(2, 4, 0, 1, 0), OK);
  assert.equal(nets[1]!.inUse, false);
  driver.start({ features: [] });
  assert.equal(driver.control(2, 0, 0, 1), -1, "and no control without it");
});

Deno.test("net control: a command may come in as many pieces as its queue has", () => {
  // Without MQ its queue is one that could have been for receiving.
  using setup = setUp(2, { features: [NetFeature.CTRL_VQ] });
  const { driver } = setup;
  const table = [40, 0, 0, 0, ...new Array(240).fill(2), 0, 0, 0, 0];
  const bytes = [1, 0, ...table];
  const ack = driver.room(1);
  const pieces = bytes.map((byte) => driver.buffer(Uint8Array.of(byte)));
  driver.queues[2]!.add([...pieces, ack]);
  driver.ring(2);
  assert.ok(driver.queues[2]!.poll() >= 0);
  assert.equal(driver.bytes(ack)[0], OK);
});

Deno.test("net: offers the bits that docs/devices.md says, by their numbers (§5.1.3)", () => {
  const offered = (setup: Setup) => {
    const [low] = setup.driver.offered;
    return Array.from({ length: 28 }, (_, bit) => bit)
      .filter((bit) => (low >>> bit) & 1);
  };
  const always = [0, 1, 3, 5, 7, 8, 9, 11, 12, 13, 15, 16, 17, 18, 21, 23];
  using one = setUp();
  assert.deepEqual(offered(one), always);
  using more = setUp(2);
  assert.deepEqual(offered(more), [...always, 22].sort((a, b) => a - b));
});

Deno.test("net: a backend without offloads gets none offered", () => {
  const memory = GuestMemory.allocate(4 * MiB, { hugePages: false });
  const net = new MemoryNet(memory);
  net.offloads = false;
  const driver = new NetDriver(net, { memory });
  const [low] = driver.offered;
  assert.equal(low & 0x7983, 0);
  assert.equal(low & (1 << NetFeature.MAC), 1 << NetFeature.MAC);
  assert.equal(low & (1 << NetFeature.MRG_RXBUF), 1 << NetFeature.MRG_RXBUF);
  assert.equal(low & (1 << NetFeature.MQ), 0, "nor MQ with one pair");
  driver.close();
  net.close();
  memory.free();
});
