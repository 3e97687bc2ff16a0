/** Workers that begin before their machine. */
import assert from "node:assert/strict";
import { EarlyWorkers } from "./early_workers.ts";
import type { WorkerMessage } from "./messages.ts";
import { FakeWorkers } from "./testing/workers.ts";
import { DEVICE_WORKER, VCPU_WORKER } from "./worker_thread.ts";

Deno.test("early workers: each is taken once, and what nobody takes is ended", () => {
  using workers = new FakeWorkers();
  using early = new EarlyWorkers();
  assert.equal(workers.living, 2);
  const taken = early.take(VCPU_WORKER, () => {});
  assert.notEqual(taken, undefined);
  assert.equal(early.take(VCPU_WORKER, () => {}), undefined);
  early[Symbol.dispose]();
  assert.equal(workers.living, 1);
  assert.equal(early.take(DEVICE_WORKER, () => {}), undefined);
  taken!.terminate();
  assert.equal(workers.living, 0);
});

Deno.test("early workers: what one has said before it is taken is heard, in order", () => {
  const made: { onmessage(event: unknown): void }[] = [];
  const real = globalThis.Worker;
  using _real = { [Symbol.dispose]: () => void (globalThis.Worker = real) };
  globalThis.Worker = class {
    constructor() {
      made.push(this as never);
    }
    terminate(): void {}
  } as unknown as typeof Worker;
  using early = new EarlyWorkers();
  const says = (message: string) =>
    made.forEach(({ onmessage }) =>
      onmessage({ data: { type: "log", message } })
    );
  says("first");
  says("second");
  const heard: WorkerMessage[] = [];
  early.take(DEVICE_WORKER, (message) => heard.push(message));
  says("third");
  assert.deepEqual(
    heard.map((message) => message.type === "log" && message.message),
    ["first", "second", "third"],
  );
});
