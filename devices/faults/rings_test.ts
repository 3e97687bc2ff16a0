/** Faults of what devices give back, of interrupts, and of random bytes. */
import assert from "node:assert/strict";
import { viewOf } from "../../ffi/memory/mmap.ts";
import type { EntropySource } from "../backends/entropy/source.ts";
import type { OwnEvent } from "../own/context.ts";
import { faultyRng } from "../virtio/faulty_rng.ts";
import type { MakerContext } from "../virtio/maker.ts";
import { Feature } from "../virtio/spec.ts";
import type { DriverBuffer } from "../virtio/testing/queue.ts";
import { MockDriver } from "../virtio/testing/mod.ts";
import type { FaultPlan, FaultRule } from "./rules.ts";

const SEVENS: EntropySource = {
  fill(address, length) {
    new Uint8Array(viewOf(address, length)).fill(7);
    return length;
  },
};

/** A device whose random bytes are sevens, and a driver that asks for them. */
class Sevens extends MockDriver {
  readonly told: OwnEvent[];

  constructor(rules: FaultRule[], { seed = 1, packed = false } = {}) {
    const told: OwnEvent[] = [];
    const context = { emit: (event: OwnEvent) => told.push(event) };
    super(
      faultyRng(
        SEVENS,
        undefined,
        { seed, rules },
        context as unknown as MakerContext,
      ),
      { packed },
    );
    this.told = told;
    this.start(packed ? { features: [Feature.RING_PACKED] } : {});
  }

  /** Asks for `length` bytes. */
  ask(length = 16): { head: number; room: DriverBuffer } {
    const room = this.room(length);
    const head = this.rings[0]!.add([room]);
    this.rings[0]!.armInterrupt();
    this.kick(0);
    return { head, room };
  }

  /** What came back: the head and the length; undefined: nothing. */
  get used(): [head: number, length: number] | undefined {
    const ring = this.rings[0]!;
    const head = ring.poll();
    return head < 0 ? undefined : [head, ring.usedLength];
  }

  rules(...rules: unknown[]): void {
    const plan = { rules } as FaultPlan;
    this.activated.command({ type: "faults", plan });
  }
}

const bits = (value: number) => value.toString(2).replaceAll("0", "").length;

for (const packed of [false, true]) {
  const ring = packed ? "packed" : "split";
  Deno.test(`faults: an entry of a ${ring} queue's used ring is wrong in one bit, by the seed`, () => {
    const run = (seed: number) => {
      const rule: FaultRule = { on: "used", effect: "corrupt", nth: 2 };
      using driver = new Sevens([rule], { seed, packed });
      const heads: number[] = [];
      const used = [0, 1, 2].map(() => {
        heads.push(driver.ask().head);
        return driver.used!;
      });
      const wrong = used.map(([head, length], i) =>
        bits((head ^ heads[i]!) >>> 0) + bits((length ^ 16) >>> 0)
      );
      assert.deepEqual(wrong, [0, 1, 0], `${used}`);
      if (packed) assert.equal(used[1]![0], heads[1]);
      assert.deepEqual(
        driver.told.map(({ device, name, data }) => {
          const { on, effect, n } = data as Record<string, unknown>;
          return [device, name, on, effect, n];
        }),
        [["entropy", "fault", "used", "corrupt", 2]],
      );
      return used[1];
    };
    assert.deepEqual(run(1), run(1));
    const all = [1, 2, 3, 4, 5, 6].map((seed) => run(seed)!.join());
    assert.ok(new Set(all).size > 1, `${all}`);
  });

  Deno.test(`faults: what a ${ring} queue gives back is late, or stalls until there are other rules`, () => {
    using driver = new Sevens([
      { on: "used", effect: "delay", delay_ms: 1, nth: 1 },
      { on: "used", effect: "stall", nth: 1 },
    ], { packed });
    const first = driver.ask();
    assert.equal(driver.used, undefined);
    driver.until(() => driver.interrupts === 1, "the interrupt");
    assert.deepEqual(driver.used, [first.head, 16]);
    const [second, third] = [driver.ask(), driver.ask()];
    assert.equal(driver.used, undefined, "the third waits for the second");
    assert.equal(driver.interrupts, 1);
    driver.rules();
    assert.deepEqual(driver.used, [second.head, 16]);
    assert.deepEqual(driver.used, [third.head, 16]);
    assert.equal(driver.interrupts, 2);
    driver.rules({ on: "used", effect: "stall", times: 1 });
    const last = driver.ask();
    assert.equal(driver.used, undefined);
    driver.activated.save();
    assert.deepEqual(driver.used, [last.head, 16], "a snapshot has no stall");
    driver.rules({ on: "used", effect: "stall", times: 1 });
    driver.ask();
    driver.start(packed ? { features: [Feature.RING_PACKED] } : {});
    assert.deepEqual([driver.ask().head, 16], driver.used, "nor has a reset");
  });
}

Deno.test("faults: an interrupt is lost, and the next is not", () => {
  using driver = new Sevens([{ on: "interrupt", effect: "drop", nth: 1 }]);
  assert.deepEqual([driver.ask().head, 16], driver.used);
  assert.equal(driver.interrupts, 0);
  assert.deepEqual([driver.ask().head, 16], driver.used);
  assert.equal(driver.interrupts, 1);
});

Deno.test("faults: random bytes are few, wrong, late, or don't come", () => {
  using driver = new Sevens([
    { on: "fill", effect: "short", bytes: 5, nth: 1 },
    { on: "fill", effect: "corrupt", nth: 1 },
    { on: "fill", effect: "delay", delay_ms: 1, mean_ms: 1, nth: 1 },
    { on: "fill", effect: "stall", nth: 1 },
    { on: "fill", effect: "stall", nth: 1 },
  ]);
  const few = driver.ask();
  assert.deepEqual(driver.used, [few.head, 5]);
  const wrong = driver.ask();
  assert.deepEqual(driver.used, [wrong.head, 16]);
  const flipped = driver.bytes(wrong.room).map((byte) => bits(byte ^ 7));
  assert.equal(flipped.reduce((sum, one) => sum + one, 0), 1);
  const late = driver.ask();
  assert.equal(driver.used, undefined);
  driver.until(() => driver.interrupts === 3, "the interrupt");
  assert.deepEqual(driver.used, [late.head, 16]);
  const never = driver.ask();
  driver.turn();
  assert.equal(driver.used, undefined);
  driver.activated.save(); // goes on, and its request is done
  assert.deepEqual(driver.used, [never.head, 16]);
  driver.ask();
  driver.turn();
  assert.equal(driver.used, undefined);
  driver.start();
  assert.deepEqual([driver.ask().head, 16], driver.used, "after a reset");
});

Deno.test("faults: rules of what a device has not are refused, and the old ones stay", () => {
  using driver = new Sevens([{ on: "fill", effect: "short", bytes: 5 }]);
  assert.throws(
    () =>
      driver.rules(
        { on: "fill", effect: "stall" },
        { on: "read", effect: "error" },
      ),
    {
      message:
        "faults.rules[1].on: entropy has no read, but fill, used, interrupt",
    },
  );
  assert.deepEqual([driver.ask().head, 5], driver.used);
});
