/**
 * The device's side of a split virtqueue: pop, push and publish. A driver
 * that has laid everything out only moves the available index on.
 *
 *     deno bench -A bench/virtqueue_bench.ts
 *
 * @module
 */
import type { DescriptorChain } from "../devices/virtio/queue/chain.ts";
import { SplitQueue } from "../devices/virtio/queue/split.ts";
import {
  DESCRIPTOR_SIZE,
  type DriverBuffer,
  DriverQueue,
} from "../devices/virtio/testing/queue.ts";
import { MiB } from "../guest/layout.ts";
import { GuestMemory } from "../guest/memory.ts";

const SIZE = 256;
const BUFFERS = 0x4_0000;
const TABLES = 0x8_0000;
const BATCH = 32;

/** A queue whose available ring is full of chains, again and again. */
class Bench {
  readonly driver: DriverQueue;
  readonly queue: SplitQueue;
  readonly chain: DescriptorChain;

  constructor(length: number, indirect: boolean, eventIdx: boolean) {
    const memory = GuestMemory.allocate(MiB);
    this.driver = new DriverQueue(memory, {
      size: SIZE,
      address: 0x1_0000,
      eventIdx,
    });
    const buffers = Array.from({ length }, (_, i): DriverBuffer => ({
      address: BUFFERS + i * 0x1000,
      length: 4096,
      writable: i > 0,
    }));
    const heads: number[] = [];
    for (let i = 0; i < SIZE; i++) {
      const table = TABLES + i * length * DESCRIPTOR_SIZE;
      const head = indirect
        ? this.driver.addIndirect(buffers, table)
        : this.driver.add(buffers);
      if (head < 0) break;
      heads.push(head);
    }
    for (let i = heads.length; i < SIZE; i++) {
      this.driver.offer(heads[i % heads.length]!);
    }
    this.driver.availIdx = 0;
    this.queue = new SplitQueue(0, SIZE, memory);
    this.queue.activate(this.driver.state());
    this.chain = this.queue.chain();
  }

  /** `count` chains in, out, and shown. */
  turn(count: number): void {
    const { driver, queue, chain } = this;
    driver.availIdx = (driver.availIdx + count) & 0xffff;
    while (queue.pop(chain)) queue.push(chain.head, 1);
    queue.publish();
  }
}

for (
  const [length, indirect] of [[1, false], [2, false], [18, false], [1, true], [
    2,
    true,
  ], [18, true]] as const
) {
  const kind = indirect ? "indirect" : "direct";
  const bench = new Bench(length, indirect, true);
  Deno.bench(
    `${kind} chain of ${length}: pop, push, publish`,
    { group: "one" },
    () => {
      bench.turn(1);
    },
  );
}

for (const length of [1, 18]) {
  const bench = new Bench(length, false, true);
  Deno.bench(`${BATCH} direct chains of ${length}, one publish`, {
    group: "batch",
  }, () => {
    bench.turn(BATCH);
  });
}

const idle = new Bench(1, false, true);
Deno.bench("nothing available", { group: "idle" }, () => {
  idle.queue.pop(idle.chain);
});
Deno.bench("the driver's part: move avail.idx", { group: "idle" }, () => {
  const { driver } = idle;
  driver.availIdx = driver.availIdx + 0;
});
