/** Chains are bounded by the queue that made them, whatever the driver does. */
import assert from "node:assert/strict";
import { guestBytes, readIovecs } from "../../../guest/testing/iovecs.ts";
import type { DeviceContext, VirtioDevice } from "../device.ts";
import { Feature, featureWords, Status } from "../spec.ts";
import { MockDriver } from "../testing/mod.ts";
import type { DriverBuffer } from "../testing/queue.ts";
import type { ChainPart, DescriptorChain } from "./chain.ts";
import type { VirtQueue } from "./queue.ts";

/**
 * A device as its user would write it, which hands its chains to the host's
 * kernel. Queue 0 has more descriptors than queue 1.
 */
class OwnDevice implements VirtioDevice {
  readonly deviceId = 63;
  readonly features = featureWords(Feature.INDIRECT_DESC);
  readonly queueSizes = [8, 2];
  readonly config = new Uint8Array();
  /** The lengths of what the kernel was given, part by part. */
  readonly given: number[][] = [];
  chain!: DescriptorChain;
  context!: DeviceContext;

  attach(context: DeviceContext): void {
    this.context = context;
    this.chain = context.queues[0]!.chain();
  }

  notify(queue: VirtQueue): void {
    while (queue.pop(this.chain)) {
      for (const part of [this.chain.readable, this.chain.writable]) {
        if (part.count > 0) this.given.push(this.#kernelReads(part));
      }
      queue.push(this.chain.head, 0);
    }
    this.context.publish(queue);
  }

  activate(): void {}
  reset(): void {}
  close(): void {}

  /** Throws where an iovec leads out of the guest's RAM. */
  #kernelReads({ iovecs, count }: ChainPart): number[] {
    return readIovecs(iovecs, count)
      .map((iovec) => guestBytes(this.context.memory, iovec).length);
  }
}

const WAYS = [false, true].flatMap((packed) =>
  [false, true].map((indirect) => ({ packed, indirect }))
);

for (const { packed, indirect } of WAYS) {
  const ring = `${packed ? "packed" : "split"}, ${
    indirect ? "indirect" : "direct"
  }`;

  /** Makes a chain of `count` available and rings; its lengths. */
  const send = (driver: MockDriver, count: number, writable = false) => {
    const buffers = Array.from({ length: count }, (_, i): DriverBuffer => ({
      ...driver.room(100 + i),
      writable,
    }));
    const queue = driver.rings[0]!;
    if (indirect) queue.addIndirect(buffers, driver.allocate(16 * count));
    else queue.add(buffers);
    driver.ring(0);
    return buffers.map(({ length }) => length);
  };

  Deno.test(`chains: a device's own has room for the longest of its queue (${ring})`, () => {
    const device = new OwnDevice();
    using driver = new MockDriver(device, { packed });
    driver.start();
    for (const writable of [false, true]) {
      const lengths = send(driver, 8, writable);
      assert.deepEqual(device.given.splice(0), [lengths]);
      assert.equal(driver.rings[0]!.poll() >= 0, true);
    }
    assert.equal(driver.status & Status.DEVICE_NEEDS_RESET, 0);
  });

  Deno.test(`chains: one without room for all of a chain breaks the queue (${ring})`, () => {
    const device = new OwnDevice();
    using driver = new MockDriver(device, { packed });
    device.chain = device.context.queues[1]!.chain();
    driver.start();
    const lengths = send(driver, 2);
    assert.deepEqual(device.given.splice(0), [lengths], "it is as good");
    send(driver, 3);
    assert.deepEqual(device.given, [], "the kernel is given nothing");
    assert.equal(driver.status & Status.DEVICE_NEEDS_RESET, 64);
    assert.match(driver.messages[0]!, /queue 0: descriptor chain too long/);
    driver.start();
    send(driver, 1);
    assert.equal(device.given.length, 1, "a reset heals it");
  });
}

Deno.test("chains: a table longer than the queue gives the kernel nothing", () => {
  for (const packed of [false, true]) {
    const device = new OwnDevice();
    using driver = new MockDriver(device, { packed });
    driver.start();
    const buffers = Array.from({ length: 9 }, () => driver.room(16));
    driver.rings[0]!.addIndirect(buffers, driver.allocate(16 * 9));
    driver.ring(0);
    assert.deepEqual(device.given, []);
    assert.match(driver.messages[0]!, /queue 0: descriptor chain too long/);
  }
});

Deno.test("chains: a driver that changes the kind of its rings finds the same room", () => {
  const device = new OwnDevice();
  using driver = new MockDriver(device, { packed: true });
  for (const features of [[], [Feature.RING_PACKED], []]) {
    driver.start({ features });
    const buffers = Array.from({ length: 8 }, () => driver.room(16));
    driver.rings[0]!.add(buffers);
    driver.ring(0);
    assert.deepEqual(device.given.splice(0), [buffers.map(() => 16)]);
  }
});
