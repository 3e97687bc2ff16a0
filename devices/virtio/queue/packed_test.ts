/** The packed virtqueue, device side: order, wrap counters, events, attacks. */
import assert from "node:assert/strict";
import { MiB } from "../../../guest/layout.ts";
import { GuestMemory } from "../../../guest/memory.ts";
import { Random } from "../../../guest/testing/random.ts";
import type { DescriptorChain } from "./chain.ts";
import { PackedQueue } from "./packed.ts";
import { EventFlags, PackedDriverQueue } from "../testing/packed_queue.ts";
import { behindLoads } from "../testing/race.ts";
import {
  DescriptorFlag,
  type DriverBuffer,
  type DriverQueueOptions,
  staysAwake,
  writeDescriptor,
} from "../testing/queue.ts";

const { NEXT, WRITE, INDIRECT } = DescriptorFlag;
const AVAIL = 1 << 7;
const USED = 1 << 15;
const BUFFERS = 0x8_0000;
const TABLE = 0x9_0000;

class Pair implements Disposable {
  readonly memory = GuestMemory.allocate(MiB, { hugePages: false });
  readonly driver: PackedDriverQueue;
  readonly queue: PackedQueue;
  readonly chain: DescriptorChain;

  constructor(options: Partial<DriverQueueOptions> = {}) {
    const layout = { size: 16, address: 0x1_0000, ...options };
    this.driver = new PackedDriverQueue(this.memory, layout);
    this.queue = new PackedQueue(0, 256, this.memory);
    this.queue.activate(this.driver.state());
    assert.equal(this.queue.broken, undefined);
    this.chain = this.queue.chain();
  }

  pop(): number {
    return this.queue.pop(this.chain) ? this.chain.head : -1;
  }

  [Symbol.dispose](): void {
    this.queue.close();
    this.memory.free();
  }
}

function buffers(count: number, writable = false): DriverBuffer[] {
  return Array.from({ length: count }, (_, i) => ({
    address: BUFFERS + i * 0x1000,
    length: 100 + i,
    writable,
  }));
}

Deno.test("PackedQueue: chains come in the order in which they were made available", () => {
  using pair = new Pair();
  assert.equal(pair.pop(), -1);
  const heads = [1, 2, 3].map((n) => pair.driver.add(buffers(n)));
  for (const [i, head] of heads.entries()) {
    assert.equal(pair.pop(), head);
    assert.equal(pair.chain.readable.count, i + 1);
    assert.equal(pair.chain.readable.lengthAt(i), 100 + i);
  }
  assert.equal(pair.pop(), -1);
  assert.equal(pair.queue.broken, undefined);
});

Deno.test("PackedQueue: readable and writable parts, direct and indirect", () => {
  using pair = new Pair();
  const mixed = [...buffers(2), ...buffers(3, true)];
  for (const indirect of [false, true]) {
    const head = indirect
      ? pair.driver.addIndirect(mixed, TABLE)
      : pair.driver.add(mixed);
    assert.equal(pair.pop(), head);
    assert.equal(pair.chain.readable.count, 2);
    assert.equal(pair.chain.writable.count, 3);
    assert.equal(pair.chain.writable.bytes, 303);
  }
});

Deno.test("PackedQueue: what is pushed is seen after publish, all at once", () => {
  using pair = new Pair();
  const heads = [2, 1, 3].map((n) => pair.driver.add(buffers(n, true)));
  for (const head of heads) assert.equal(pair.pop(), head);
  for (const [i, head] of heads.entries()) pair.queue.push(head, 10 + i);
  assert.equal(pair.driver.poll(), -1);
  pair.queue.publish();
  for (const [i, head] of heads.entries()) {
    assert.equal(pair.driver.poll(), head);
    assert.equal(pair.driver.usedLength, 10 + i);
  }
  assert.equal(pair.driver.poll(), -1);
  assert.equal(pair.driver.freeDescriptors, 16);
});

// §2.8.10.1: the size need not be a power of two.
for (const size of [1, 2, 7, 16, 255]) {
  Deno.test(`PackedQueue: any order of completion over many laps, size ${size}`, () => {
    using pair = new Pair({ size });
    const random = new Random(size);
    const inFlight: { head: number; bytes: number }[] = [];
    const back = new Map<number, number>();
    let added = 0, returned = 0;
    while (returned < 2000) {
      const count = 1 + random.below(Math.min(5, size));
      const head = random.oneIn(3)
        ? pair.driver.addIndirect(buffers(count), TABLE)
        : pair.driver.add(buffers(count));
      if (head >= 0) added++;
      if (random.oneIn(2) && pair.pop() >= 0) {
        inFlight.push({ head: pair.chain.head, bytes: random.below(5000) });
      }
      for (let n = random.below(3); n > 0 && inFlight.length > 0; n--) {
        const [done] = inFlight.splice(random.below(inFlight.length), 1);
        back.set(done!.head, done!.bytes);
        pair.queue.push(done!.head, done!.bytes);
      }
      if (random.oneIn(2)) pair.queue.publish();
      for (let id = pair.driver.poll(); id >= 0; id = pair.driver.poll()) {
        assert.equal(pair.driver.usedLength, back.get(id));
        back.delete(id);
        returned++;
      }
      assert.equal(pair.queue.broken, undefined);
    }
    assert.ok(added >= returned);
  });
}

Deno.test("PackedQueue: interrupts by ENABLE, DISABLE and DESC (§2.8.14)", () => {
  using pair = new Pair({ eventIdx: true, size: 4 });
  const complete = (count: number) => {
    for (let i = 0; i < count; i++) {
      pair.driver.add(buffers(1, true));
      pair.queue.push(pair.pop(), 1);
    }
    const wanted = pair.queue.publish();
    while (pair.driver.poll() >= 0);
    return wanted;
  };
  const wish = (flags: number, low = 0) =>
    pair.driver.driverEvent = low | (flags << 16);
  wish(EventFlags.ENABLE);
  assert.equal(complete(1), true); // slot 0
  wish(EventFlags.DISABLE);
  assert.equal(complete(1), false); // slot 1
  wish(EventFlags.DESC, 3 | 0x8000);
  assert.equal(complete(1), false); // slot 2: not yet
  assert.equal(complete(1), true); // slot 3
  wish(EventFlags.DESC, 1); // slot 1 of the second lap: wrap counter 0
  assert.equal(complete(1), false); // slot 0
  assert.equal(complete(2), true); // slots 1 and 2
  wish(EventFlags.DESC, 3);
  assert.equal(complete(2), true); // slot 3, and 0 of the third lap
  wish(3); // reserved
  assert.equal(complete(1), false);
});

Deno.test("PackedQueue: DESC without EVENT_IDX is no wish", () => {
  using pair = new Pair();
  pair.driver.driverEvent = 0x8000 | (EventFlags.DESC << 16);
  pair.driver.add(buffers(1));
  pair.queue.push(pair.pop(), 0);
  assert.equal(pair.queue.publish(), false);
});

for (const eventIdx of [false, true]) {
  Deno.test(`PackedQueue: doorbells are wanted when asked for, EVENT_IDX ${eventIdx}`, () => {
    using pair = new Pair({ eventIdx, size: 5 });
    const { driver, queue } = pair;
    for (let lap = 0; lap < 20; lap++) {
      queue.disableNotification();
      driver.add(buffers(1));
      assert.equal(driver.doorbellWanted(), false);
      assert.equal(staysAwake(queue), true, "it came meanwhile");
      queue.push(pair.pop(), 0);
      assert.equal(staysAwake(queue), false);
      driver.add(buffers(2));
      assert.equal(driver.doorbellWanted(), true);
      queue.push(pair.pop(), 0);
      queue.publish();
      while (driver.poll() >= 0);
    }
  });
}

Deno.test("PackedQueue: a polling thread asks for the doorbell when it sleeps", () => {
  using pair = new Pair();
  const { driver, queue } = pair;
  queue.disableNotification();
  queue.enableNotification();
  driver.add(buffers(1));
  assert.equal(driver.doorbellWanted(), false);
  assert.equal(queue.due, true);
  pair.pop();
  assert.equal(queue.enable(), false);
  driver.add(buffers(1));
  assert.equal(driver.doorbellWanted(), true);
});

Deno.test("PackedQueue: save and activate go on where the queue was", () => {
  using pair = new Pair({ size: 3 });
  for (let lap = 0; lap < 10; lap++) {
    pair.driver.add(buffers(1));
    pair.queue.push(pair.pop(), 0);
    pair.queue.publish();
    assert.equal(pair.driver.poll() >= 0, true);
    const copy = new PackedQueue(0, 256, pair.memory);
    copy.activate(pair.queue.save());
    assert.deepEqual(copy.save(), pair.queue.save());
    pair.queue.activate(copy.save());
  }
});

Deno.test("PackedQueue: what was taken and not pushed can be given back, across wraps", () => {
  using pair = new Pair({ size: 7 });
  const { driver, queue } = pair;
  for (let lap = 0; lap < 50; lap++) {
    const heads = [1, 2, 1 + lap % 3].map((n) => driver.add(buffers(n)));
    assert.ok(heads.every((head) => head >= 0));
    assert.deepEqual(heads.map(() => pair.pop()), heads);
    queue.push(heads[0]!, 0);
    queue.publish();
    queue.rewind();
    assert.equal(driver.poll(), heads[0]);
    queue.activate(queue.save());
    for (const head of heads.slice(1)) {
      assert.equal(pair.pop(), head);
      assert.equal(pair.chain.readable.count > 0, true);
      queue.push(head, 0);
      queue.publish();
      assert.equal(driver.poll(), head);
    }
    queue.rewind();
    assert.equal(pair.pop(), -1, "nothing to give back");
  }
});

Deno.test("PackedQueue: bad sizes, addresses and alignments break it", () => {
  using pair = new Pair();
  const good = pair.driver.state();
  const bad: Partial<typeof good>[] = [
    { size: 0 },
    { size: 257 },
    { desc: 8 },
    { desc: MiB - 16 },
    { avail: 2 },
    { used: MiB },
    { used: 2 ** 64 - 4096 },
  ];
  for (const change of bad) {
    pair.queue.activate({ ...good, ...change });
    assert.equal(pair.queue.live, false, JSON.stringify(change));
    assert.ok(pair.queue.broken);
    assert.equal(pair.queue.pop(pair.chain), false);
    pair.queue.push(0, 0);
    assert.equal(pair.queue.publish(), false);
  }
});

/** What popping says after `attack` has written to the ring. */
function attacked(attack: (pair: Pair) => void): string | undefined {
  using pair = new Pair();
  attack(pair);
  assert.equal(pair.queue.pop(pair.chain), pair.queue.broken === undefined);
  return pair.queue.broken;
}

Deno.test("PackedQueue: chains that break the rules break the queue", () => {
  const one = (address: number, length: number, id: number, flags: number) =>
    attacked(({ driver }) =>
      driver.describe(0, address, length, id, AVAIL | flags)
    );
  assert.equal(one(BUFFERS, 4, 0, 0), undefined);
  assert.match(one(BUFFERS, 4, 16, 0)!, /id too large/);
  assert.match(one(BUFFERS, 0, 0, 0)!, /empty or not in RAM/);
  assert.match(one(MiB, 4, 0, 0)!, /not in RAM/);
  assert.match(one(2 ** 64 - 4096, 4096, 0, 0)!, /not in RAM/);
  assert.match(one(TABLE, 16, 0, INDIRECT | NEXT)!, /indirect/);
  assert.match(one(TABLE, 17, 0, INDIRECT)!, /indirect/);
  assert.match(one(TABLE + 2, 16, 0, INDIRECT)!, /indirect/);
  assert.match(one(MiB, 16, 0, INDIRECT)!, /indirect/);
  assert.match(one(TABLE, 17 * 16, 0, INDIRECT)!, /too long/);
  const endless = attacked(({ driver }) => {
    for (let i = 0; i < 16; i++) {
      driver.describe(i, BUFFERS, 4, 0, AVAIL | NEXT);
    }
  });
  assert.match(endless!, /too long/);
  const order = attacked(({ driver }) => {
    driver.describe(0, BUFFERS, 4, 0, AVAIL | NEXT | WRITE);
    driver.describe(1, BUFFERS, 4, 0, AVAIL);
  });
  assert.match(order!, /readable descriptor after a writable one/);
  const late = attacked(({ driver }) => {
    driver.describe(0, BUFFERS, 4, 0, AVAIL | NEXT);
    driver.describe(1, TABLE, 16, 0, AVAIL | INDIRECT);
  });
  assert.match(late!, /indirect/);
  const nested = attacked(({ driver, memory }) => {
    writeDescriptor(memory.regions[0]!, TABLE, TABLE, 16, 0, INDIRECT);
    driver.describe(0, TABLE, 16, 0, AVAIL | INDIRECT);
  });
  assert.match(nested!, /indirect/);
});

Deno.test("PackedQueue: a ring of random words does no harm", () => {
  using pair = new Pair();
  const { driver, memory, queue } = pair;
  const random = new Random(7);
  let popped = 0;
  for (let round = 0; round < 20_000; round++) {
    const next = queue.save().nextAvail;
    const slot = random.oneIn(3) ? random.below(16) : next & 0x7fff;
    const available = next & 0x8000 ? AVAIL : USED;
    const flags = random.oneIn(8)
      ? random.below(0x1_0000)
      : available | random.of([0, WRITE, NEXT, INDIRECT]);
    const address = random.oneIn(5) ? random.below(2 ** 32) : BUFFERS;
    const id = random.oneIn(20) ? random.below(0x1_0000) : random.below(16);
    driver.describe(slot, address, random.below(300), id, flags);
    driver.driverEvent = random.below(2 ** 32);
    if (pair.pop() >= 0) {
      popped++;
      const { readable, writable } = pair.chain;
      for (const part of [readable, writable]) {
        for (let i = 0; i < part.count; i++) {
          assert.ok(memory.find(part.guestAddressAt(i), part.lengthAt(i)));
        }
      }
      if (random.oneIn(2)) queue.push(pair.chain.head, 1);
    }
    if (random.oneIn(4)) queue.publish();
    if (!queue.live || random.oneIn(200)) queue.activate(driver.state());
  }
  assert.ok(popped > 500, `${popped}`);
});

Deno.test("PackedQueue: flags that change once the chain is there are not looked at again", () => {
  using pair = new Pair();
  const [buffer] = buffers(1);
  pair.driver.add([buffer!]);
  const { desc } = pair.driver;
  const { address, length } = buffer!;
  const ring = pair.memory.find(desc, 16)!;
  const at = desc - ring.guestAddress;
  {
    using _race = behindLoads(() =>
      writeDescriptor(ring, at, address, length, 0, AVAIL | INDIRECT)
    );
    assert.equal(pair.pop(), 0);
  }
  assert.equal(pair.chain.readable.bytes, length);
  assert.equal(pair.queue.broken, undefined);
});
