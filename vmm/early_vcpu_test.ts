/** A worker that begins before its machine. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { MiB } from "../guest/layout.ts";
import { EarlyVcpu } from "./early_vcpu.ts";
import { Machine } from "./machine.ts";
import type { WorkerMessage } from "./messages.ts";
import { ScratchFile, TestMachine } from "./testing/mod.ts";
import { lastRecord, recorded, recording } from "./testing/records.ts";
import { failing, FakeWorkers } from "./testing/workers.ts";

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

Deno.test(needing([KVM], {
  name:
    "early vCPU: its machine is paused, saved, reset and stopped before its devices are there",
  async fn() {
    using disk = new ScratchFile(MiB);
    await using first = await TestMachine.create(recording(disk.path));
    first.machine.start();
    await first.printed("journal: 3");
    using snapshot = await first.machine.snapshot();
    await first.machine.stop();
    const saved = lastRecord(first.output);
    const started = async () => {
      let output = "";
      using early = new EarlyVcpu();
      const machine = await Machine.restore(snapshot, {}, {
        early,
        onOutput: (bytes) => output += new TextDecoder().decode(bytes),
      });
      machine.start();
      return { machine, output: () => output };
    };
    {
      const { machine, output } = await started();
      await using _machine = machine;
      await machine.pause();
      assert.equal(machine.state, "paused");
      using again = await machine.snapshot();
      await machine.resume();
      await recorded(output, saved + 5);
      await machine.reset(again);
      await recorded(output, lastRecord(output()) + 5);
    }
    {
      const { machine } = await started();
      assert.equal((await machine.stop()).reason, "stopped");
    }
    {
      using _workers = failing("device_worker.ts", 0);
      const { machine } = await started();
      const { reason, message } = await machine.wait();
      assert.equal(reason, "error", message);
      assert.match(message!, /E(MFILE|NOMEM|NOSPC)/);
    }
  },
}));
