/** The examples of docs/lab.md do what is said of them there. */
import assert from "node:assert/strict";
import { OwnCode } from "../../devices/own/code.ts";
import { guarded } from "../../devices/virtio/own_device.ts";
import { MockDriver } from "../../devices/virtio/testing/mod.ts";
import type { OwnEvent } from "../../mod.ts";
import Drip from "./drip.ts";

/** For devices without a machine: `told` is what they log and emit. */
function code(name: string, told: unknown[]): OwnCode {
  return new OwnCode(name, import.meta.url, {
    memory: undefined!,
    console: undefined!,
    log: (line) => told.push(line),
    emit: (event) => told.push(event),
  });
}

Deno.test("lab: the dripping entropy device gives its bytes by the clock, and tells", () => {
  const told: OwnEvent[] = [];
  const drip = new Drip({ bytes: 4, ms: 1 });
  using driver = new MockDriver(guarded(drip, code("drip", told)));
  driver.start();
  const queue = driver.queues[0]!;
  const heads = [queue.add([driver.room(16)]), queue.add([driver.room(16)])];
  driver.ring(0);
  assert.equal(queue.poll(), -1, "not yet");
  driver.until(() => told.length === 2, "two drops");
  for (const head of heads) {
    assert.equal(queue.poll(), head);
    assert.equal(queue.usedLength, 4);
  }
  assert.deepEqual(
    told.map(({ device, name, data }) => [device, name, data]),
    Array(2).fill(["drip", "drop", { bytes: 4 }]),
  );
  driver.reset();
});

Deno.test("lab: docs/lab.md shows the files as they are, each in 30 lines of code at most", () => {
  const text = Deno.readTextFileSync(
    new URL("../../docs/lab.md", import.meta.url),
  );
  const shown = [
    ...text.matchAll(/^`examples\/lab\/(\S+)`:\n\n```ts\n(.*?)```/gms),
  ];
  assert.ok(shown.length > 0);
  for (const [, name, code] of shown) {
    const url = new URL(name!, import.meta.url);
    assert.equal(code, Deno.readTextFileSync(url), name);
    const lines = code!.split("\n").filter((line) =>
      /^(?!\/\*\*|import )./.test(line)
    );
    assert.ok(lines.length <= 30, `${name} has ${lines.length} lines`);
  }
});
