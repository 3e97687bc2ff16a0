/**
 * A driver's life (virtio 1.2 §2.1, §3.1): which features, in which state a
 * reset comes, and how a device recovers; for every device.
 */
import assert from "node:assert/strict";
import { MiB } from "../../guest/layout.ts";
import { GuestMemory } from "../../guest/memory.ts";
import { Random } from "../../guest/testing/random.ts";
import type { Subject } from "../../fuzz/virtio/subject.ts";
import { SUBJECTS } from "../../fuzz/virtio/subjects.ts";
import { Feature, type FeatureWords, featureWords, Status } from "./spec.ts";
import { MockDriver } from "./testing/mod.ts";

const TRANSPORTS = ["mmio", "pci"] as const;
const NAMES = Object.keys(SUBJECTS);
const { ACKNOWLEDGE, DRIVER, DRIVER_OK, FAILED } = Status;

type Body = (driver: MockDriver, subject: Subject) => void;

/** Runs `body` against each device over each transport. */
function forEveryDevice(what: string, body: Body, packed = true): void {
  for (const name of NAMES) {
    for (const transport of TRANSPORTS) {
      Deno.test(`${name} over ${transport}: ${what}`, () => {
        using memory = GuestMemory.allocate(4 * MiB, { hugePages: false });
        using subject = SUBJECTS[name]!(memory, new Random(1));
        using driver = new MockDriver(subject.device, {
          memory,
          transport,
          packed,
        });
        body(driver, subject);
      });
    }
  }
}

function bitsOf([low, high]: FeatureWords): number[] {
  const bits: number[] = [];
  for (let bit = 0; bit < 64; bit++) {
    const word = bit < 32 ? low : high;
    if ((word >>> (bit & 31)) & 1) bits.push(bit);
  }
  return bits.filter((bit) => bit !== Feature.VERSION_1);
}

forEveryDevice(
  "works without each feature, and with none but each",
  (driver, subject) => {
    const all = bitsOf(driver.offered);
    const sets = [
      [],
      all,
      ...all.map((bit) => all.filter((other) => other !== bit)),
      ...all.map((bit) => [bit]),
    ];
    for (const features of sets) {
      driver.start({ features });
      subject.prove(driver);
      assert.equal(driver.status, 0xf, `features ${features}`);
    }
  },
);

forEveryDevice(
  "FEATURES_OK is refused for what isn't offered (§2.2.2)",
  (driver, subject) => {
    const offered = bitsOf(driver.offered);
    for (let bit = 0; bit < 64; bit++) {
      if (offered.includes(bit) || bit === Feature.VERSION_1) continue;
      const words = featureWords(bit, Feature.VERSION_1);
      assert.equal(driver.negotiate(words), false, `bit ${bit}`);
      driver.addStatus(DRIVER_OK);
      assert.equal(driver.status & DRIVER_OK, 0, "no start without features");
    }
    assert.equal(driver.negotiate(featureWords(...offered)), false, "legacy");
    driver.start();
    subject.prove(driver);
  },
);

forEveryDevice(
  "a reset in every state leads back to a working device (§2.4)",
  (driver, subject) => {
    const random = new Random(2);
    const states: [name: string, reach: () => void][] = [
      ["reset", () => {}],
      ["ACKNOWLEDGE", () => driver.addStatus(ACKNOWLEDGE)],
      ["DRIVER", () => driver.addStatus(ACKNOWLEDGE | DRIVER)],
      ["FEATURES_OK", () => assert.ok(driver.negotiate())],
      ["FAILED", () => driver.addStatus(FAILED)],
      ["queues, but not live", () => {
        driver.negotiate();
        driver.setUpQueue(0, 8);
      }],
      ["DRIVER_OK", () => driver.start()],
      ["requests waiting", () => {
        driver.start();
        for (const ring of driver.rings) {
          for (let i = 0; i < 5; i++) {
            const parts = subject.request(random, ring.index)
              .filter((part) => typeof part === "number" || part.length > 0);
            ring.add(
              parts.map((part) =>
                typeof part === "number"
                  ? driver.room(part)
                  : driver.buffer(part)
              ),
            );
          }
          subject.host(random);
          driver.ring(ring.index);
        }
      }],
      ["DEVICE_NEEDS_RESET", () => breakQueue(driver)],
    ];
    for (const [name, reach] of states) {
      driver.reset();
      reach();
      driver.reset();
      assert.equal(driver.status, 0, name);
      driver.start();
      subject.prove(driver);
      assert.equal(driver.status, 0xf, name);
    }
  },
);

forEveryDevice(
  "a broken queue is DEVICE_NEEDS_RESET, told by an interrupt, until the reset (§2.1.2)",
  (driver, subject) => {
    const before = driver.interrupts;
    breakQueue(driver);
    assert.ok(driver.interrupts > before);
    assert.equal(driver.acknowledge() & 2, 2, "a configuration change");
    assert.ok(driver.messages.length > 0, "a human is told");
    driver.addStatus(FAILED);
    assert.notEqual(driver.status & Status.DEVICE_NEEDS_RESET, 0);
    driver.start();
    subject.prove(driver);
  },
);

forEveryDevice(
  "each queue is reset and set up again while the device lives (§2.6.1)",
  (driver, subject) => {
    const RESET = 0xc0, SELECT = 0x30;
    driver.start();
    for (const { index, size } of [...driver.rings]) {
      driver.set(SELECT, index);
      driver.set(RESET, 1);
      driver.rings[index] = driver.state.hasFeature(Feature.RING_PACKED)
        ? driver.setUpPackedQueue(index, size)
        : driver.setUpQueue(index, size);
    }
    subject.prove(driver);
    assert.equal(driver.status, 0xf);
  },
);

/** Makes a chain available that points outside RAM. */
function breakQueue(driver: MockDriver): void {
  driver.start();
  for (const ring of driver.rings) {
    ring.add([{ address: 2 ** 40, length: 16, writable: ring.index === 0 }]);
    driver.ring(ring.index);
    driver.turn();
    if (driver.status & Status.DEVICE_NEEDS_RESET) return;
  }
  throw new Error("no queue broke");
}
