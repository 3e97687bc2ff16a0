/** A console that is saved: its ports go on, and no byte is lost or doubled. */
import assert from "node:assert/strict";
import { MemoryConsole } from "../../backends/testing/console.ts";
import { ConsoleDriver } from "../testing/console.ts";
import { goOn, restore, save, WAYS } from "../testing/saved.ts";
import { Console } from "./console.ts";
import { ConsoleFeature, ConsoleQueue } from "./spec.ts";

const { RECEIVE, TRANSMIT, CONTROL_RECEIVE } = ConsoleQueue;
const LOG_TRANSMIT = 5;

/** The same two ports as the driver's first device has. */
function twin(ends: readonly MemoryConsole[]): Console {
  return new Console([
    { name: "main", backend: ends[0]!, console: true },
    { name: "log", backend: ends[1]! },
  ]);
}

/** Another machine's ends: the console's is there, nobody is at the socket. */
function others(): MemoryConsole[] {
  const ends = [new MemoryConsole(), new MemoryConsole()];
  ends[1]!.connected = false;
  return ends;
}

for (const way of WAYS) {
  for (const features of [[ConsoleFeature.MULTIPORT], undefined]) {
    const words = `${way}, ${features ? "plain" : "all"} features`;

    Deno.test(`console saved: output goes on behind the last byte that was written; ${words}`, () => {
      using driver = new ConsoleDriver({ features });
      driver.open();
      const next = way === "resumed" ? driver.ends : others();
      const [first] = driver.ends;
      first!.room = 5;
      const heads = ["abcd", "efgh", "ij"].map((text) =>
        driver.send(TRANSMIT, text.slice(0, 1), text.slice(1))
      );
      assert.equal(first!.written, "abcde");
      goOn(driver, way, () => twin(next));
      first!.room = 2; // again, in the middle of the same chain
      next[0]!.room = 2;
      next[0]!.changed();
      if (way === "restored") {
        assert.equal(first!.written, "abcde", "the old one writes no more");
        assert.ok("fghij".startsWith(next[0]!.written));
      }
      goOn(driver, "resumed", () => twin(next));
      next[0]!.room = Infinity;
      next[0]!.changed();
      const whole = way === "resumed" ? "abcdefghij" : "fghij";
      assert.equal(next[0]!.written, whole);
      assert.deepEqual(heads.map(() => driver.queues[TRANSMIT]!.poll()), heads);
    });

    Deno.test(`console saved: input finds the buffers that were posted; ${words}`, () => {
      using driver = new ConsoleDriver({ features });
      driver.open();
      const next = way === "resumed" ? driver.ends : others();
      driver.post(RECEIVE, 4, 4, 4);
      driver.ends[0]!.type("one");
      assert.deepEqual(driver.received(RECEIVE), ["one"]);
      goOn(driver, way, () => twin(next));
      next[0]!.type("twofour");
      assert.deepEqual(driver.received(RECEIVE), ["twof", "our"]);
      next[0]!.type("five");
      goOn(driver, "resumed", () => twin(next));
      driver.post(RECEIVE, 8);
      assert.deepEqual(driver.received(RECEIVE), ["five"]);
    });
  }
}

Deno.test("console saved: who was connected to a socket is gone in a restored machine, and may come again", () => {
  using driver = new ConsoleDriver();
  driver.open();
  const next = others();
  goOn(driver, "restored", () => twin(next));
  assert.deepEqual(driver.told(), ["1 PORT_OPEN 0"]);
  driver.send(LOG_TRANSMIT, "to nobody");
  assert.equal(next[1]!.written, "");
  next[1]!.connect(true);
  assert.deepEqual(driver.told(), ["1 PORT_OPEN 1"]);
  driver.send(LOG_TRANSMIT, "here");
  assert.equal(next[1]!.written, "here");
});

Deno.test("console saved: messages that are due, and ports that are closed, stay so", () => {
  using driver = new ConsoleDriver();
  driver.tell(0, "DEVICE_READY");
  driver.tell(1, "PORT_READY");
  const next = [new MemoryConsole(), new MemoryConsole()];
  goOn(driver, "restored", () => twin(next));
  driver.post(CONTROL_RECEIVE, ...Array(8).fill(128));
  assert.deepEqual(driver.told(), [
    ...["0 DEVICE_ADD 1", "1 DEVICE_ADD 1"],
    ...["1 PORT_NAME 1 log", "1 PORT_OPEN 1"],
  ]);
  driver.post(RECEIVE, 8);
  next[0]!.type("early");
  assert.deepEqual(driver.received(RECEIVE), [], "nobody has opened it");
  driver.tell(0, "PORT_OPEN");
  assert.deepEqual(driver.received(RECEIVE), ["early"]);
});

Deno.test("console saved: without MULTIPORT the console goes on", () => {
  using driver = new ConsoleDriver({ features: [] });
  const next = others();
  goOn(driver, "restored", () => twin(next));
  driver.send(TRANSMIT, "out");
  driver.post(RECEIVE, 8);
  next[0]!.type("in");
  assert.equal(next[0]!.written, "out");
  assert.deepEqual(driver.received(RECEIVE), ["in"]);
});

Deno.test("console saved: a state that is none of two ports' is refused in a line", () => {
  using driver = new ConsoleDriver();
  const saved = save(driver);
  const good = saved.data as Record<string, unknown>[];
  for (
    const data of [
      null,
      [],
      [good[0]],
      [good[0], null],
      [good[0], { ...good[1], due: 32 }],
      [good[0], { ...good[1], ready: 1 }],
      [{ ...good[0], written: -1 }, good[1]],
      [{ ...good[0], written: 1e300 }, good[1]],
    ]
  ) {
    assert.throws(
      () => restore(driver, twin(others()), { ...saved, data }),
      /^VireoError: console: that is no state of its ports$/,
    );
  }
  restore(driver, twin(others()), saved);
});
