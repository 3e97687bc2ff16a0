/** A worker that begins before its machine. */
import assert from "node:assert/strict";
import { EarlyVcpu } from "./early_vcpu.ts";
import type { WorkerMessage } from "./messages.ts";
import { FakeWorkers } from "./testing/workers.ts";

Deno.test("early vCPU: it is taken once, and ended if nobody takes it", () => {
  using workers = new FakeWorkers();
  {
    using early = new EarlyVcpu();
    assert.equal(workers.living, 1);
    const taken = early.take(() => {});
    assert.notEqual(taken, undefined);
    assert.equal(early.take(() => {}), undefined);
    early[Symbol.dispose]();
    assert.equal(workers.living, 1);
    taken!.terminate();
    assert.equal(workers.living, 0);
  }
  {
    using _early = new EarlyVcpu();
    assert.equal(workers.living, 1);
  }
  assert.equal(workers.living, 0);
});

Deno.test("early vCPU: what it has said before it is taken is heard, in order", () => {
  const made: { onmessage(event: unknown): void }[] = [];
  const real = globalThis.Worker;
  using _real = { [Symbol.dispose]: () => void (globalThis.Worker = real) };
  globalThis.Worker = class {
    constructor() {
      made.push(this as never);
    }
    terminate(): void {}
  } as unknown as typeof Worker;
  using early = new EarlyVcpu();
  const says = (message: string) =>
    made.forEach(({ onmessage }) =>
      onmessage({ data: { type: "log", message } })
    );
  says("first");
  says("second");
  const heard: WorkerMessage[] = [];
  early.take((message) => heard.push(message));
  says("third");
  assert.deepEqual(
    heard.map((message) => message.type === "log" && message.message),
    ["first", "second", "third"],
  );
});
