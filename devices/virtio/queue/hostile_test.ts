/** The split virtqueue against drivers that break the rules. */
import assert from "node:assert/strict";
import { GiB, Layout, MiB } from "../../../guest/layout.ts";
import { GuestMemory } from "../../../guest/memory.ts";
import { SplitQueue } from "./split.ts";
import {
  DescriptorFlag,
  DriverQueue,
  type DriverQueueOptions,
  writeDescriptor,
} from "../testing/queue.ts";

const { NEXT, WRITE, INDIRECT } = DescriptorFlag;
const RAM = MiB;
const BUFFER = 0x8_0000;
const TABLE = 0x9_0000;

interface Pair {
  memory: GuestMemory;
  driver: DriverQueue;
  queue: SplitQueue;
}

/** Lays a queue out, lets `attack` write to it, and says how pop ended. */
function attacked(
  attack: (pair: Pair) => void,
  options: Partial<DriverQueueOptions> & { memory?: GuestMemory } = {},
): string | undefined {
  const memory = options.memory ??
    GuestMemory.allocate(RAM, { hugePages: false });
  const size = options.size ?? 16;
  const driver = new DriverQueue(memory, {
    size,
    address: 0x1_0000,
    ...options,
  });
  const queue = new SplitQueue(0, 256, memory);
  queue.activate(driver.state());
  attack({ memory, driver, queue });
  const chain = queue.chain();
  const popped = queue.pop(chain);
  assert.equal(popped, queue.broken === undefined, "pop says if it broke");
  assert.equal(queue.live, popped);
  if (!popped) {
    const again = queue.pop(chain);
    assert.equal(again, false, "a broken queue stays so");
  }
  const { broken } = queue;
  queue.close();
  if (options.memory === undefined) memory.free();
  return broken;
}

/** One descriptor as given, offered. */
function single(address: number, length: number, flags = 0, next = 0) {
  return ({ driver }: Pair) => {
    driver.describe(0, address, length, flags, next);
    driver.offer(0);
  };
}

Deno.test("VirtQueue: a descriptor loop is detected after queue_size steps (§2.7.5.2)", () => {
  for (const length of [1, 2, 16]) {
    const broken = attacked(({ driver }) => {
      for (let i = 0; i < length; i++) {
        driver.describe(i, BUFFER, 4, NEXT, (i + 1) % length);
      }
      driver.offer(0);
    });
    assert.match(broken!, /chain too long/);
  }
});

Deno.test("VirtQueue: an indirect chain longer than the queue is refused (§2.7.5.3.1)", () => {
  const offerTable = (entries: number) => ({ memory, driver }: Pair) => {
    const [region] = memory.regions;
    for (let i = 0; i < entries; i++) {
      const flags = i + 1 < entries ? NEXT : 0;
      writeDescriptor(region!, TABLE + i * 16, BUFFER, 4, flags, i + 1);
    }
    driver.describe(0, TABLE, entries * 16, INDIRECT);
    driver.offer(0);
  };
  assert.equal(attacked(offerTable(16)), undefined);
  assert.match(attacked(offerTable(17))!, /chain too long/);
});

Deno.test("VirtQueue: a loop inside an indirect table is detected", () => {
  const broken = attacked(({ memory, driver }) => {
    writeDescriptor(memory.regions[0]!, TABLE, BUFFER, 4, NEXT, 0);
    driver.describe(0, TABLE, 16, INDIRECT);
    driver.offer(0);
  });
  assert.match(broken!, /chain too long/);
});

Deno.test("VirtQueue: head and next must be less than the queue size (§2.7.5)", () => {
  for (const head of [16, 17, 255, 0xffff]) {
    assert.match(attacked(({ driver }) => driver.offer(head))!, /index/);
  }
  for (const next of [16, 0xffff]) {
    assert.match(attacked(single(BUFFER, 4, NEXT, next))!, /index/);
  }
});

Deno.test("VirtQueue: next in an indirect table must be within the table", () => {
  const broken = attacked(({ memory, driver }) => {
    writeDescriptor(memory.regions[0]!, TABLE, BUFFER, 4, NEXT, 2);
    driver.describe(0, TABLE, 32, INDIRECT);
    driver.offer(0);
  });
  assert.match(broken!, /index/);
});

Deno.test("VirtQueue: a buffer must lie within RAM, whole", () => {
  const good: [number, number][] = [[0, 1], [RAM - 1, 1], [0, RAM]];
  for (const [address, length] of good) {
    assert.equal(attacked(single(address, length, WRITE)), undefined);
  }
  const bad: [number, number][] = [
    [RAM, 1],
    [RAM - 1, 2],
    [0, RAM + 1],
    [1, 0xffff_ffff],
    [Layout.MMIO_HOLE, 4],
    [Layout.VIRTIO_MMIO, 4],
    [Layout.RAM_ABOVE_4G, 4],
    [2 ** 53, 4],
    [2 ** 63, 4],
    [2 ** 64 - 2 ** 12, 0x1001], // the sum wraps to 1 in 64 bits
  ];
  for (const [address, length] of bad) {
    const text = `0x${address.toString(16)} + ${length}`;
    assert.match(attacked(single(address, length))!, /not in RAM/, text);
  }
});

Deno.test("VirtQueue: with RAM on both sides, the MMIO hole stays shut", () => {
  using memory = GuestMemory.allocate(4 * GiB, { hugePages: false });
  const hole = Layout.MMIO_HOLE;
  const high = Layout.RAM_ABOVE_4G;
  for (const [at, length] of [[hole - 4, 4], [high, 4], [high + GiB - 1, 1]]) {
    const broken = attacked(single(at!, length!), { memory });
    assert.equal(broken, undefined);
  }
  for (
    const [at, length] of [
      [hole - 4, 5],
      [hole, 1],
      [high - 1, 1],
      [high - 1, 2],
      [hole - 4, GiB + 8], // from RAM over the hole into RAM
      [high + GiB - 1, 2],
    ]
  ) {
    assert.match(attacked(single(at!, length!), { memory })!, /not in RAM/);
  }
});

Deno.test("VirtQueue: a buffer of no bytes is refused", () => {
  assert.match(attacked(single(BUFFER, 0))!, /empty/);
});

Deno.test("VirtQueue: readable after writable is refused (§2.7.4.2)", () => {
  const broken = attacked(({ driver }) => {
    driver.describe(0, BUFFER, 4, NEXT | WRITE, 1);
    driver.describe(1, BUFFER, 4);
    driver.offer(0);
  });
  assert.match(broken!, /readable descriptor after a writable one/);
});

Deno.test("VirtQueue: INDIRECT must not be nested, chained on, or used unasked (§2.7.5.3)", () => {
  const nested = attacked(({ memory, driver }) => {
    writeDescriptor(memory.regions[0]!, TABLE, TABLE, 16, INDIRECT, 0);
    driver.describe(0, TABLE, 16, INDIRECT);
    driver.offer(0);
  });
  assert.match(nested!, /indirect descriptor where none may be/);
  const chained = attacked(single(TABLE, 16, INDIRECT | NEXT, 1));
  assert.match(chained!, /indirect descriptor where none may be/);
  const unasked = attacked(single(TABLE, 16, INDIRECT), { indirect: false });
  assert.match(unasked!, /indirect descriptor where none may be/);
});

Deno.test("VirtQueue: an indirect table must be whole descriptors in RAM (§2.7.5.3)", () => {
  for (
    const [address, length] of [
      [TABLE, 0],
      [TABLE, 8],
      [TABLE, 17],
      [TABLE, 0xffff_fff0],
      [RAM - 16, 32],
      [RAM, 16],
      [2 ** 63, 16],
      [TABLE + 2, 16],
    ]
  ) {
    const broken = attacked(single(address!, length!, INDIRECT));
    assert.match(broken!, /bad indirect/, `${address} + ${length}`);
  }
});

Deno.test("VirtQueue: direct descriptors may lead to an indirect one, whose WRITE is ignored (§2.7.5.3.2)", () => {
  const broken = attacked(({ memory, driver }) => {
    writeDescriptor(memory.regions[0]!, TABLE, BUFFER, 4, 0, 0);
    driver.describe(0, BUFFER, 4, NEXT, 1);
    driver.describe(1, TABLE, 16, INDIRECT | WRITE);
    driver.offer(0);
  });
  assert.equal(broken, undefined);
});

Deno.test("VirtQueue: avail.idx may be at most the queue size ahead (§2.7.13.3)", () => {
  const jump = (ahead: number, firstIndex = 0) =>
    attacked(({ driver }) => {
      driver.describe(0, BUFFER, 4);
      driver.availIdx = (firstIndex + ahead) & 0xffff;
    }, { firstIndex });
  assert.equal(jump(16), undefined);
  assert.match(jump(17)!, /17 ahead/);
  assert.match(jump(0xffff)!, /65535 ahead/); // one step back
  assert.equal(jump(16, 0xfffe), undefined);
  assert.match(jump(17, 0xfffe)!, /17 ahead/);
});

Deno.test("VirtQueue: the size must be a power of two up to the maximum (§2.7)", () => {
  using memory = GuestMemory.allocate(RAM, { hugePages: false });
  const queue = new SplitQueue(0, 256, memory);
  const rings = new DriverQueue(memory, { size: 256, address: 0 }).state();
  for (const size of [1, 2, 128, 256]) {
    queue.activate({ ...rings, size });
    assert.equal(queue.live, true, String(size));
  }
  for (const size of [0, 3, 255, 257, 512, 0x8000, 0x8000_0000, 2 ** 32 - 1]) {
    queue.activate({ ...rings, size });
    assert.match(queue.broken!, /not a power of two/, String(size));
    assert.equal(queue.live, false);
  }
});

Deno.test("VirtQueue: rings must be aligned and in RAM (§2.7)", () => {
  using memory = GuestMemory.allocate(RAM, { hugePages: false });
  const queue = new SplitQueue(0, 256, memory);
  const good = new DriverQueue(memory, { size: 16, address: 0x1000 }).state();
  const bad = [
    { desc: good.desc + 8 },
    { avail: good.avail + 1 },
    { used: good.used + 2 },
    { desc: RAM },
    { desc: RAM - 240 },
    { avail: RAM - 32 },
    { used: RAM - 128 },
    { used: Layout.MMIO_HOLE },
    { avail: 2 ** 63 },
    { desc: 2 ** 64 - 4096 },
  ];
  for (const part of bad) {
    queue.activate({ ...good, ...part });
    assert.match(queue.broken!, /aligned or not in RAM/, JSON.stringify(part));
  }
  queue.activate(good);
  assert.equal(queue.live, true, "the queue can be used again");
});

Deno.test("VirtQueue: rings work at any offset in RAM above 4 GiB", () => {
  using memory = GuestMemory.allocate(9 * GiB, { hugePages: false });
  const address = Layout.RAM_ABOVE_4G + 5 * GiB;
  const broken = attacked(({ driver, queue }) => {
    driver.describe(3, address + MiB, 4);
    driver.offer(3);
    queue.push(3, 42);
    queue.publish();
    assert.deepEqual([driver.poll(), driver.usedLength], [3, 42]);
  }, { memory, address });
  assert.equal(broken, undefined);
});
