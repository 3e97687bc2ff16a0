/** The network device: frames for the guest (virtio 1.2 §5.1.6.3, 6.4). */
import assert from "node:assert/strict";
import { Errno } from "../../../ffi/errno.ts";
import { MiB } from "../../../guest/layout.ts";
import { GuestMemory } from "../../../guest/memory.ts";
import { MemoryNet } from "../../backends/testing/net.ts";
import { NetFeature } from "./spec.ts";
import {
  assertFrames,
  frame,
  NetDriver,
  PLAIN,
  received,
} from "../testing/net.ts";
import { Feature, Status } from "../spec.ts";
import { Random } from "../../../guest/testing/random.ts";
import type { StartOptions } from "../testing/mod.ts";

const MERGEABLE = [NetFeature.MRG_RXBUF, NetFeature.STATUS];
const MERGEABLE_TSO = [
  ...MERGEABLE,
  NetFeature.GUEST_CSUM,
  NetFeature.GUEST_TSO4,
];
/** What a driver without offloads posts: header and the largest frame. */
const FULL = 1526;

interface Setup extends Disposable {
  memory: GuestMemory;
  net: MemoryNet;
  driver: NetDriver;
}

function setUp(options: StartOptions = {}): Setup {
  const memory = GuestMemory.allocate(4 * MiB, { hugePages: false });
  const net = new MemoryNet(memory);
  const driver = new NetDriver(net, { memory, ...options });
  return {
    memory,
    net,
    driver,
    [Symbol.dispose]() {
      driver.close();
      net.close();
      memory.free();
    },
  };
}

Deno.test("net RX: a frame arrives with its header, num_buffers is 1 (§5.1.6.4.1)", () => {
  for (const features of [PLAIN, MERGEABLE]) {
    using setup = setUp({ features });
    const { net, driver } = setup;
    driver.post(4, FULL);
    const sent = frame(60);
    sent.set([1, 0, 0x36, 0, 0xdc, 5, 34, 0, 16, 0]); // flags, gso, csum
    net.deliver(sent);
    driver.turn();
    assertFrames(driver.frames(), [received(sent)]);
    assert.equal(driver.interrupts, 1);
  }
});

Deno.test("net RX: frames keep their order, one interrupt for a batch", () => {
  using setup = setUp({ features: PLAIN });
  const { net, driver } = setup;
  driver.post(20, FULL);
  const sent = Array.from({ length: 20 }, (_, i) => frame(60 + i, i));
  net.deliver(...sent);
  driver.turn();
  assertFrames(driver.frames(), sent.map((f) => received(f)));
  assert.equal(driver.interrupts, 1);
});

Deno.test("net RX: a largest frame fills a buffer of 1526 bytes exactly (§5.1.6.3.1)", () => {
  for (const features of [PLAIN, MERGEABLE]) {
    using setup = setUp({ features });
    const { net, driver } = setup;
    driver.post(4, FULL);
    const sent = frame(FULL - 12);
    net.deliver(sent);
    driver.turn();
    assertFrames(driver.frames(), [received(sent)]);
  }
});

Deno.test("net RX: the header may have a descriptor of its own, or several", () => {
  for (const lengths of [[12, 1514], [10, 2, 1514], [6, 5, 1515], [11, 1600]]) {
    using setup = setUp({ features: PLAIN });
    const { net, driver } = setup;
    driver.post(2, ...lengths);
    const sent = frame(300);
    net.deliver(sent);
    driver.turn();
    assertFrames(driver.frames(), [received(sent)]);
  }
});

Deno.test("net RX: mergeable: a frame spreads over buffers, num_buffers says how many (§5.1.6.4)", () => {
  using setup = setUp({ features: MERGEABLE_TSO });
  const { net, driver } = setup;
  driver.post(80, 1000);
  const sent = [frame(988), frame(989, 2), frame(60, 3), frame(50_000, 4)];
  net.deliver(sent[0]!, sent[1]!, sent[2]!);
  driver.turn();
  assertFrames(driver.frames(), [
    received(sent[0]!, 1),
    received(sent[1]!, 2),
    received(sent[2]!, 1),
  ]);
  net.deliver(sent[3]!);
  driver.turn();
  assertFrames(driver.frames(), [received(sent[3]!, 51)]);
});

Deno.test("net RX: mergeable: large and small frames in any order, in batches", () => {
  using setup = setUp({ features: MERGEABLE_TSO });
  const { net, driver } = setup;
  const random = new Random(7);
  driver.post(256, 1000);
  for (let batch = 0; batch < 9; batch++) {
    // Long runs of small ones in between: then a large one is not expected.
    const largest = batch % 3 === 0 ? 6000 : batch % 3 === 1 ? 900 : 2500;
    const sent: Uint8Array[] = [];
    let buffers = 0;
    while (sent.length < 70) {
      const one = frame(20 + random.below(largest), random.below(256));
      if (buffers + Math.ceil(one.length / 1000) > 256) break;
      buffers += Math.ceil(one.length / 1000);
      sent.push(one);
    }
    net.deliver(...sent);
    driver.turn();
    assertFrames(
      driver.frames(),
      sent.map((one) => received(one, Math.ceil(one.length / 1000))),
    );
    driver.post(buffers, 1000);
  }
});

Deno.test("net RX: mergeable: all buffers of a frame are shown at once (§5.1.6.4.1)", () => {
  using setup = setUp({ features: MERGEABLE_TSO });
  const { net, driver } = setup;
  driver.post(100, 700);
  const publish = driver.activated.publish.bind(driver.activated);
  const shown: number[] = [];
  driver.activated.publish = (queue) => {
    publish(queue);
    shown.push(driver.rx.usedIdx);
  };
  net.deliver(frame(10_000));
  driver.turn();
  assert.deepEqual(shown.filter((n) => n > 0), [15]);
});

Deno.test("net RX: without buffers the backend is left alone, and nothing is lost", () => {
  for (const features of [PLAIN, MERGEABLE, MERGEABLE_TSO]) {
    using setup = setUp({ features });
    const { net, driver } = setup;
    const sent = Array.from({ length: 10 }, (_, i) => frame(100 + i, i));
    net.deliver(...sent);
    assert.equal(driver.turn(), 0, "not even watched");
    assert.equal(net.receives, 0);
    assert.equal(net.waiting.length, 10);
    const frames: Uint8Array[] = [];
    for (let i = 0; i < 5; i++) {
      driver.post(50, FULL);
      driver.turn();
      frames.push(...driver.frames());
    }
    assertFrames(frames, sent.map((f) => received(f)));
  }
});

Deno.test("net RX: buffers that come one by one are used one by one", () => {
  using setup = setUp({ features: PLAIN });
  const { net, driver } = setup;
  const sent = Array.from({ length: 5 }, (_, i) => frame(100, i));
  net.deliver(...sent);
  for (const expected of sent) {
    driver.post(1, FULL);
    driver.turn();
    assertFrames(driver.frames(), [received(expected)]);
  }
});

Deno.test("net RX: mergeable: few buffers still take the frames that fit", () => {
  using setup = setUp({ features: MERGEABLE_TSO });
  const { net, driver } = setup;
  driver.post(3, FULL);
  const sent = frame(60);
  net.deliver(sent);
  driver.turn();
  assertFrames(driver.frames(), [received(sent)]);
});

Deno.test("net RX: mergeable: a frame larger than all buffers waits for more, whole", () => {
  using setup = setUp({ features: MERGEABLE_TSO });
  const { net, driver } = setup;
  driver.post(2, FULL);
  const large = frame(20_000, 1);
  const small = frame(60, 2);
  net.deliver(large, small);
  driver.turn();
  assertFrames(driver.frames(), []);
  assert.deepEqual(net.waiting, [small]);
  for (let i = 0; i < 12; i++) driver.post(1, FULL);
  driver.turn();
  driver.post(10, FULL);
  driver.turn();
  assertFrames(driver.frames(), [received(large, 14), received(small)]);
});

Deno.test("net RX: mergeable: a frame that waits is gone after a reset", () => {
  using setup = setUp({ features: MERGEABLE_TSO });
  const { net, driver } = setup;
  driver.post(1, FULL);
  net.deliver(frame(20_000));
  driver.turn();
  driver.start({ features: MERGEABLE_TSO });
  driver.post(30, FULL);
  net.deliver(frame(60, 5));
  driver.turn();
  assertFrames(driver.frames(), [received(frame(60, 5))]);
});

Deno.test("net RX: a frame too large for its buffer is dropped, the next one isn't", () => {
  using setup = setUp({ features: PLAIN });
  const { memory, net, driver } = setup;
  driver.post(2, 100, 100);
  const guard = driver.room(4096);
  net.deliver(frame(189), frame(188, 2), frame(1500, 3), frame(20, 4));
  driver.turn();
  const expected = [received(frame(188, 2)), received(frame(20, 4))];
  assertFrames(driver.frames(), expected);
  const bytes = memory.bytes(guard.address, guard.length);
  assert.equal(bytes.every((byte) => byte === 0xee), true);
});

Deno.test("net RX: a frame too large for the whole queue is dropped", () => {
  using setup = setUp({ features: MERGEABLE_TSO, queueSize: 4 });
  const { net, driver } = setup;
  driver.post(4, 200);
  net.deliver(frame(60_000), frame(100, 2));
  driver.turn();
  assertFrames(driver.frames(), [received(frame(100, 2))]);
});

Deno.test("net RX: a buffer too small for the header needs a reset (§5.1.6.3.1)", () => {
  using setup = setUp({ features: MERGEABLE });
  const { net, driver } = setup;
  driver.post(1, 11);
  assert.equal(driver.status & Status.DEVICE_NEEDS_RESET, 64);
  assert.match(driver.messages[0]!, /receive buffer without room/);
  driver.start({ features: MERGEABLE });
  driver.post(2, FULL);
  net.deliver(frame(60));
  driver.turn();
  assertFrames(driver.frames(), [received(frame(60))]);
});

Deno.test("net RX: a buffer that is only readable needs a reset, and is not written", () => {
  using setup = setUp({ features: PLAIN });
  const { net, driver } = setup;
  const readable = driver.buffer(new Uint8Array(2000).fill(0x42));
  driver.rx.add([readable]);
  net.deliver(frame(1000));
  driver.ring(0);
  driver.turn();
  assert.equal(driver.status & Status.DEVICE_NEEDS_RESET, 64);
  assert.equal(driver.bytes(readable).every((b) => b === 0x42), true);
});

Deno.test("net RX: a readable part in front of the writable one is skipped", () => {
  using setup = setUp({ features: PLAIN });
  const { net, driver } = setup;
  const room = driver.room(FULL);
  const head = driver.rx.add([driver.buffer(new Uint8Array(64)), room]);
  driver.ring(0);
  net.deliver(frame(100));
  driver.turn();
  assert.deepEqual([driver.rx.poll(), driver.rx.usedLength], [head, 112]);
  assert.deepEqual(driver.bytes(room).slice(0, 112), received(frame(100)));
});

Deno.test("net RX: an interrupted read is tried again, a failed one is not fatal", () => {
  using setup = setUp({ features: PLAIN });
  const { net, driver } = setup;
  driver.post(4, FULL);
  net.failures.push(Errno.EINTR, Errno.EIO);
  net.deliver(frame(60));
  driver.turn();
  driver.turn();
  assertFrames(driver.frames(), [received(frame(60))]);
});

Deno.test("net RX: buffers are used through indirect tables and with EVENT_IDX", () => {
  const features = [...MERGEABLE, Feature.INDIRECT_DESC, Feature.EVENT_IDX];
  using setup = setUp({ features });
  const { net, driver } = setup;
  const buffers = [driver.room(12), driver.room(100), driver.room(1500)];
  const head = driver.rx.addIndirect(buffers, driver.allocate(64));
  driver.kick(0);
  net.deliver(frame(200));
  driver.turn();
  assert.deepEqual([driver.rx.poll(), driver.rx.usedLength], [head, 212]);
  assert.equal(driver.interrupts, 1);
});

Deno.test("net RX: the ring wraps many times without a lost or doubled frame", () => {
  using setup = setUp({ features: MERGEABLE, queueSize: 8 });
  const { net, driver } = setup;
  driver.post(8, 600);
  for (let i = 0; i < 300; i++) {
    const sent = [frame(60, i), frame(1000 + i, i)];
    net.deliver(...sent);
    driver.turn();
    const buffers = Math.ceil((1012 + i) / 600);
    assertFrames(driver.frames(), [
      received(sent[0]!),
      received(sent[1]!, buffers),
    ]);
    driver.post(1 + buffers, 600);
    if (i % 50 === 49) {
      driver.start({ features: MERGEABLE, queueSize: 8 });
      driver.post(8, 600);
    }
  }
});

Deno.test("net RX: thousands of buffers of many descriptors pass through", () => {
  using setup = setUp({ features: [...MERGEABLE, Feature.INDIRECT_DESC] });
  const { net, driver } = setup;
  const rooms = Array.from({ length: 7 }, () => driver.room(100));
  const tables = Array.from({ length: 4 }, () => driver.allocate(7 * 16));
  for (let i = 0; i < 3000; i++) {
    // Fours first: they end exactly where the device's run of iovecs does.
    const buffers = rooms.slice(0, i < 1500 ? 4 : 1 + (i % 7));
    driver.rx.addIndirect(buffers, tables[i % 4]!);
    driver.ring(0);
    const sent = frame(100 * buffers.length - 12, i);
    net.deliver(sent);
    driver.turn();
    assert.ok(driver.rx.poll() >= 0, `frame ${i}`);
    assert.equal(driver.rx.usedLength, sent.length);
    const bytes = buffers.flatMap((buffer) => [...driver.bytes(buffer)]);
    assertFrames([Uint8Array.from(bytes)], [received(sent)]);
  }
});
