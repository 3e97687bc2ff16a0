/** The split virtqueue, device side: order, flags and events. */
import assert from "node:assert/strict";
import { MiB } from "../../../guest/layout.ts";
import { GuestMemory } from "../../../guest/memory.ts";
import { needEvent } from "./queue.ts";
import { SplitQueue } from "./split.ts";
import {
  type DriverBuffer,
  DriverQueue,
  type DriverQueueOptions,
  queueBytes,
  staysAwake,
} from "../testing/queue.ts";

const BUFFERS = 0x8_0000;

/** Both ends of a queue. */
function queuePair(options: Partial<DriverQueueOptions> = {}) {
  const memory = GuestMemory.allocate(MiB, { hugePages: false });
  const driver = new DriverQueue(memory, {
    size: 16,
    address: 0x1_0000,
    ...options,
  });
  const queue = new SplitQueue(0, 256, memory);
  queue.activate(driver.state());
  assert.equal(queue.broken, undefined);
  return {
    memory,
    driver,
    queue,
    chain: queue.chain(),
    [Symbol.dispose]() {
      queue.close();
      memory.free();
    },
  };
}

function buffers(count: number, writable = false): DriverBuffer[] {
  return Array.from({ length: count }, (_, i) => ({
    address: BUFFERS + i * 0x1000,
    length: 100 + i,
    writable,
  }));
}

Deno.test("VirtQueue: chains come in the order of the available ring", () => {
  using pair = queuePair();
  const { driver, queue, chain } = pair;
  assert.equal(queue.pop(chain), false);
  const heads = [1, 2, 3].map((n) => driver.add(buffers(n)));
  for (const head of heads) {
    assert.equal(queue.pop(chain), true);
    assert.equal(chain.head, head);
  }
  assert.equal(queue.pop(chain), false);
  assert.equal(queue.broken, undefined);
});

Deno.test("VirtQueue: a chain's parts are host iovecs of the driver's buffers", () => {
  for (const count of [1, 2, 18]) {
    using pair = queuePair({ size: 64 });
    const { memory, driver, queue, chain } = pair;
    const readable = buffers(count);
    const writable = buffers(count, true);
    driver.add([...readable, ...writable]);
    assert.equal(queue.pop(chain), true);
    for (
      const [part, given] of [
        [chain.readable, readable],
        [chain.writable, writable],
      ] as const
    ) {
      assert.equal(part.count, count);
      assert.equal(part.bytes, given.reduce((n, b) => n + b.length, 0));
      given.forEach(({ address, length }, i) => {
        assert.equal(part.guestAddressAt(i), address);
        assert.equal(part.lengthAt(i), length);
        const host = memory.hostAddress(address, length);
        assert.equal(part.hostAddressAt(i), host);
      });
    }
  }
});

Deno.test("VirtQueue: used entries carry head and length, and appear at publish (§2.7.8)", () => {
  using pair = queuePair();
  const { driver, queue, chain } = pair;
  const first = driver.add(buffers(1, true));
  const second = driver.add(buffers(1, true));
  queue.pop(chain);
  queue.pop(chain);
  queue.push(second, 7);
  queue.push(first, 9);
  assert.equal(driver.poll(), -1);
  assert.equal(queue.publish(), true);
  assert.deepEqual([driver.poll(), driver.usedLength], [second, 7]);
  assert.deepEqual([driver.poll(), driver.usedLength], [first, 9]);
  assert.equal(driver.poll(), -1);
  assert.equal(driver.freeDescriptors, driver.size);
  assert.equal(queue.publish(), false, "nothing new: no interrupt");
});

Deno.test("VirtQueue: indexes run freely past 65535 (§2.7.6)", () => {
  using pair = queuePair({ size: 4, firstIndex: 0xfffd });
  const { driver, queue, chain } = pair;
  for (let i = 0; i < 20; i++) {
    const heads = [driver.add(buffers(1)), driver.add(buffers(2))];
    for (const head of heads) {
      assert.equal(queue.pop(chain), true);
      assert.equal(chain.head, head);
      queue.push(head, i);
    }
    assert.equal(queue.publish(), true);
    assert.deepEqual([driver.poll(), driver.poll()], heads);
  }
  assert.equal(driver.availIdx, (0xfffd + 40) & 0xffff);
});

Deno.test("VirtQueue: a queue of one descriptor works", () => {
  using pair = queuePair({ size: 1 });
  const { driver, queue, chain } = pair;
  for (let i = 0; i < 3; i++) {
    assert.equal(driver.add(buffers(1)), 0);
    assert.equal(queue.pop(chain), true);
    queue.push(chain.head, 0);
    queue.publish();
    assert.equal(driver.poll(), 0);
  }
});

Deno.test("VirtQueue: all descriptors may be available at once", () => {
  using pair = queuePair();
  const { driver, queue, chain } = pair;
  while (driver.add(buffers(1)) >= 0);
  let popped = 0;
  while (queue.pop(chain)) popped++;
  assert.equal(popped, driver.size);
  assert.equal(queue.broken, undefined);
});

Deno.test("VirtQueue: without EVENT_IDX the available ring's NO_INTERRUPT decides (§2.7.7)", () => {
  using pair = queuePair();
  const { driver, queue } = pair;
  driver.availFlags = 1;
  queue.push(0, 0);
  assert.equal(queue.publish(), false);
  driver.availFlags = 0;
  queue.push(0, 0);
  assert.equal(queue.publish(), true);
  assert.equal(driver.usedIdx, 2);
});

Deno.test("VirtQueue: without EVENT_IDX notification is switched by NO_NOTIFY (§2.7.10)", () => {
  using pair = queuePair();
  const { driver, queue } = pair;
  queue.disableNotification();
  assert.equal(driver.usedFlags, 1);
  assert.equal(driver.doorbellWanted(), false);
  assert.equal(staysAwake(queue), false);
  assert.equal(driver.usedFlags, 0);
  assert.equal(driver.doorbellWanted(), true);
});

Deno.test("VirtQueue: enabling notification tells of a chain that came in meanwhile", () => {
  for (const eventIdx of [false, true]) {
    using pair = queuePair({ eventIdx });
    pair.queue.disableNotification();
    pair.driver.add(buffers(1));
    assert.equal(staysAwake(pair.queue), true);
    pair.queue.pop(pair.chain);
    assert.equal(staysAwake(pair.queue), false);
  }
});

Deno.test("VirtQueue: with EVENT_IDX an interrupt comes when used_event is passed (§2.7.7.2)", () => {
  using pair = queuePair({ eventIdx: true });
  const { driver, queue } = pair;
  driver.availFlags = 1; // must be ignored
  driver.usedEvent = 2;
  const interrupts = [1, 2, 3, 4, 5].map(() => {
    queue.push(0, 0);
    return queue.publish();
  });
  assert.deepEqual(interrupts, [false, false, true, false, false]);
  driver.usedEvent = 7;
  for (let i = 0; i < 4; i++) queue.push(0, 0);
  assert.equal(queue.publish(), true, "a batch passes it too");
});

Deno.test("VirtQueue: with EVENT_IDX the device publishes avail_event (§2.7.10)", () => {
  using pair = queuePair({ eventIdx: true });
  const { driver, queue, chain } = pair;
  driver.add(buffers(1));
  assert.equal(driver.doorbellWanted(), true);
  queue.disableNotification();
  queue.pop(chain);
  driver.add(buffers(1));
  assert.equal(driver.doorbellWanted(), false, "the device is at it");
  queue.pop(chain);
  assert.equal(staysAwake(queue), false);
  assert.equal(driver.availEvent, 2);
  assert.equal(driver.usedFlags, 0, "flags stay 0 (§2.7.10.2)");
  driver.add(buffers(1));
  assert.equal(driver.doorbellWanted(), true);
});

Deno.test("needEvent: the table of §2.7.7.2, with 16-bit wrap", () => {
  for (
    const [event, now, before, expected] of [
      [0, 1, 0, true],
      [0, 0, 0, false],
      [1, 1, 0, false],
      [1, 2, 0, true],
      [5, 5, 3, false],
      [5, 6, 5, true],
      [5, 7, 6, false],
      [0xffff, 0, 0xffff, true],
      [0xffff, 0xffff, 0xfff0, false],
      [0, 1, 0xffff, true],
      [0xfffe, 2, 0xfff0, true],
      [3, 2, 0xfff0, false],
      [0x8000, 1, 0, false],
    ] as const
  ) {
    const text = `event ${event}, ${before} to ${now}`;
    assert.equal(needEvent(event, now, before), expected, text);
  }
});

Deno.test("VirtQueue: save and activate go on where the queue was", () => {
  using pair = queuePair();
  const { memory, driver, queue, chain } = pair;
  driver.add(buffers(1));
  const second = driver.add(buffers(1));
  queue.pop(chain);
  queue.push(chain.head, 0);
  queue.publish();
  const copy = new SplitQueue(0, 256, memory);
  copy.activate(structuredClone(queue.save()));
  assert.equal(copy.pop(chain), true);
  assert.equal(chain.head, second);
  copy.push(second, 5);
  copy.publish();
  driver.poll();
  assert.deepEqual([driver.poll(), driver.usedLength], [second, 5]);
});

Deno.test("VirtQueue: what was taken and not pushed can be given back, at any index", () => {
  using pair = queuePair({ firstIndex: 0xffe0 });
  const { driver, queue, chain } = pair;
  for (let lap = 0; lap < 50; lap++) {
    const heads = [1, 2, 3].map((n) => driver.add(buffers(n)));
    for (const head of heads) {
      assert.equal(queue.pop(chain), true);
      assert.equal(chain.head, head);
    }
    queue.push(heads[0]!, 0);
    queue.publish();
    queue.rewind();
    assert.equal(driver.poll(), heads[0]);
    for (const head of heads.slice(1)) {
      assert.equal(queue.pop(chain), true);
      assert.equal(chain.head, head);
      queue.push(head, 0);
      queue.publish();
      assert.equal(driver.poll(), head);
    }
    queue.rewind();
    assert.equal(queue.pop(chain), false, "nothing to give back");
  }
});

Deno.test("VirtQueue: a queue that is not live does nothing", () => {
  using pair = queuePair();
  const { driver, queue, chain } = pair;
  driver.add(buffers(1));
  queue.deactivate();
  const before = pair.memory.bytes(driver.desc, queueBytes(16)).slice();
  assert.equal(queue.live, false);
  assert.equal(queue.pop(chain), false);
  queue.push(0, 1);
  assert.equal(queue.publish(), false);
  queue.disableNotification();
  assert.equal(staysAwake(queue), false);
  const after = pair.memory.bytes(driver.desc, queueBytes(16));
  assert.deepEqual(after, before);
});
