/** The one loop over a queue of requests: what it takes, and what it misses. */
import assert from "node:assert/strict";
import type { DeviceContext, VirtioDevice } from "../device.ts";
import { Feature, featureWords } from "../spec.ts";
import { MockDriver } from "../testing/mod.ts";
import { behindLoads } from "../testing/race.ts";
import type { DescriptorChain } from "./chain.ts";
import { type ChainServer, Drain } from "./drain.ts";
import type { VirtQueue } from "./queue.ts";

const BUDGET = 16;

/** Serves chains by twos: a batch is full then, and flushing it makes room. */
class Pairs implements VirtioDevice, ChainServer {
  readonly deviceId = 63;
  readonly features = featureWords(Feature.EVENT_IDX);
  readonly queueSizes = [64];
  readonly config = new Uint8Array();
  /** What was served, in order. */
  readonly served: number[] = [];
  /** How many chains each flush has found. */
  readonly flushes: number[] = [];
  /** Nothing can be done with chains: they stay in the ring. */
  full = false;
  #waiting: number[] = [];
  #chain!: DescriptorChain;
  #drain!: Drain;
  #context!: DeviceContext;

  attach(context: DeviceContext): void {
    this.#context = context;
    this.#chain = context.queues[0]!.chain();
    this.#drain = new Drain(context, this, BUDGET);
  }

  notify(queue: VirtQueue): void {
    this.#drain.run(queue);
  }

  room(): DescriptorChain | undefined {
    return this.full || this.#waiting.length === 2 ? undefined : this.#chain;
  }

  serve({ head }: DescriptorChain): DescriptorChain | undefined {
    this.served.push(head);
    this.#waiting.push(head);
    return this.room();
  }

  flush(queue: VirtQueue): void {
    this.flushes.push(this.#waiting.length);
    for (const head of this.#waiting) queue.push(head, 0);
    this.#waiting = [];
    this.#context.publish(queue);
  }

  activate(): void {}
  reset(): void {}
  close(): void {}
}

const WAYS = [[], [Feature.EVENT_IDX], [Feature.RING_PACKED], [
  Feature.RING_PACKED,
  Feature.EVENT_IDX,
]];

/** A device and its driver, for each kind of ring and of notification. */
function* setUps(): Generator<{ driver: MockDriver; device: Pairs }> {
  for (const features of WAYS) {
    const device = new Pairs();
    using driver = new MockDriver(device, { packed: true, awake: true });
    driver.start({ features });
    yield { driver, device };
  }
}

/** Makes `count` chains available. */
function add(driver: MockDriver, count = 1): number[] {
  return Array.from(
    { length: count },
    () => driver.rings[0]!.add([driver.room(16)]),
  );
}

/** The heads that the driver has got back. */
function used(driver: MockDriver): number[] {
  const heads: number[] = [];
  for (;;) {
    const head = driver.rings[0]!.poll();
    if (head < 0) return heads;
    heads.push(head);
  }
}

Deno.test("Drain: chains are served in order, in batches, up to its budget", () => {
  for (const { driver, device } of setUps()) {
    const heads = add(driver, 5);
    driver.ring(0);
    assert.deepEqual(device.served, heads);
    assert.deepEqual(device.flushes.splice(0), [2, 2, 1]);
    assert.deepEqual(used(driver), heads);
    const more = add(driver, 20);
    driver.ring(0);
    assert.deepEqual(used(driver), more.slice(0, BUDGET), "the others' turn");
    assert.equal(driver.activated.poll(), true);
    assert.deepEqual(used(driver), more.slice(BUDGET));
    assert.equal(driver.activated.poll(), false);
  }
});

Deno.test("Drain: without room a chain stays in the ring, and no doorbell is wanted", () => {
  for (const { driver, device } of setUps()) {
    driver.ring(0); // a first run, so that the driver is told
    driver.activated.enable();
    device.full = true;
    const heads = add(driver, 2);
    assert.equal(driver.kick(0), true);
    heads.push(...add(driver));
    assert.equal(driver.rings[0]!.doorbellWanted(), false);
    assert.equal(driver.activated.poll(), false, "or the thread never sleeps");
    assert.equal(driver.activated.enable(), false);
    assert.deepEqual(device.served, []);
    device.full = false;
    device.notify(driver.activated.queues[0]!); // who makes room runs it again
    assert.deepEqual(used(driver), heads);
    assert.equal(driver.activated.enable(), false);
    add(driver);
    assert.equal(driver.kick(0), true, "and a doorbell is wanted again");
  }
});

Deno.test("Drain: a chain that comes at any moment is served, or its doorbell is wanted", () => {
  for (const { driver, device } of setUps()) {
    const [ring] = driver.rings;
    let moments = 0;
    for (let late = 0, moment = 0; late >= 0; moment++) {
      device.served.length = 0;
      const [first] = add(driver);
      ring!.doorbellWanted();
      let loads = 0;
      let rings = false;
      late = -1;
      {
        using _race = behindLoads(() => {
          if (loads++ !== moment) return;
          late = add(driver)[0]!;
          rings = ring!.doorbellWanted();
        });
        driver.activated.doorbell(0);
        while (driver.activated.enable()) driver.activated.poll();
      }
      moments = moment;
      const found = device.served.includes(late);
      const text = `after load ${moment}`;
      assert.ok(device.served.includes(first!), text);
      if (late >= 0) assert.ok(found || rings, `${text}: it sleeps for ever`);
      if (rings) driver.activated.doorbell(0);
      driver.sleep();
      used(driver);
    }
    assert.ok(moments > 3, `${moments} moments`);
  }
});
