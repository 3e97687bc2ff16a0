/** Events of a machine as its owner gets them. */
import assert from "node:assert/strict";
import { EXIT_EVENT, ExitRecorder } from "../../ffi/kvm/exit_recorder.ts";
import type { KvmRun } from "../../ffi/kvm/run.ts";
import { EVENTS_KEPT, Recorder } from "../../ffi/recorder.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { readPayload } from "../../images/payload/payload.ts";
import type { MachineParts } from "../build.ts";
import { ScratchFile, TestMachine } from "../testing/mod.ts";
import { COUNTS } from "../testing/tiny_guest.ts";
import { DeviceRecorder } from "./device_recorder.ts";
import type { TraceEvent } from "./events.ts";
import { FlightRecorder } from "./flight_recorder.ts";
import { TraceReader } from "./reader.ts";

/** A machine's parts, as far as a reader looks. */
function partsOf(page: SharedArrayBuffer, ofDevices = true): MachineParts {
  const devices = [{ name: "d0", window: 0xc000_1000 }];
  const vcpu = { start: { record: ofDevices ? Recorder.create(1) : page } };
  const deviceStart = ofDevices ? { record: page } : undefined;
  return { vcpus: [vcpu], devices, deviceStart } as unknown as MachineParts;
}

const demo = async (disk: string, transport: "mmio" | "pci") => ({
  "boot-source": { kernel_image_path: await readPayload(), boot_args: "demo" },
  // With registers mapped, their reads are no exits.
  "machine-config": { mem_size_mib: 64, transport, mapped_registers: false },
  drives: [{ drive_id: "d0", path_on_host: disk, is_root_device: false }],
});

for (const transport of ["mmio", "pci"] as const) {
  Deno.test(needing([KVM], {
    name: `trace: over ${transport}, what was counted is what was seen`,
    async fn() {
      using disk = new ScratchFile(8 << 20);
      await using test = await TestMachine.create(
        await demo(disk.path, transport),
      );
      const seen: TraceEvent[] = [];
      const batches = await test.machine.traceBatches();
      test.machine.start();
      await test.machine.pause();
      await test.machine.resume();
      for await (const batch of batches) seen.push(...batch);
      assert.equal((await test.machine.wait()).reason, "reset");
      const of = <T extends TraceEvent["type"]>(type: T) =>
        seen.filter((event) => event.type === type) as Extract<
          TraceEvent,
          { type: T }
        >[];
      assert.deepEqual(of("lost"), []);
      const { vcpus, devices: [d0] } = await test.machine.metrics();
      const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);
      assert.equal(of("exit").length, sum(Object.values(vcpus[0]!.exits)));
      assert.equal(of("doorbell").length, d0!.queues[0]!.doorbells);
      assert.equal(of("interrupt").length, d0!.queues[0]!.interrupts);
      const requests = of("request");
      assert.equal(requests.length, d0!.queues[0]!.chains);
      assert.equal(of("begin").length, requests.length);
      const reads = requests.filter(({ request }) => request === "read");
      const bytes = sum(reads.map(({ bytes }) => bytes));
      assert.equal(bytes, d0!.requests.read!.bytes);
      assert.ok(
        requests.every(({ status, duration }) => status === 0 && duration >= 0),
      );
      const steps = of("step").map(({ step }) => step);
      assert.deepEqual(steps.slice(0, 1), ["activated"]);

      const states = of("state").map(({ state }) => state).join();
      assert.match(
        states,
        /^created,starting,(running,)?pausing,paused,resuming,running,ending/,
      );

      // Registers have their names.
      const registers = new Set(of("exit").map(({ register }) => register));
      const names = transport === "mmio"
        ? ["QueueDescLow", "Status", "InterruptStatus"]
        : ["queue_desc", "device_status"];
      for (const name of [...names, "THR"]) {
        assert.ok(registers.has(name), `${name} in ${[...registers]}`);
      }
      // Numbered, and in the order of their times.
      const exits = of("exit");
      exits.forEach(({ number, time }, index) => {
        assert.equal(number, index);
        assert.ok(index === 0 || time >= exits[index - 1]!.time);
      });
    },
  }));
}

Deno.test(needing([KVM], {
  name: "trace: two readers, each with its filter; nothing without one",
  async fn() {
    using disk = new ScratchFile(8 << 20);
    await using test = await TestMachine.create(await demo(disk.path, "mmio"));
    const { machine } = test;
    const typesOf = async (batches: AsyncIterable<TraceEvent[]>) => {
      const types = new Set<string>();
      for await (const batch of batches) {
        for (const { type } of batch) types.add(type);
      }
      return [...types];
    };
    const first = await machine.traceBatches({
      ...{ types: ["request"], devices: ["d0"] },
    });
    const second = await machine.traceBatches({ types: ["exit"], vcpus: [0] });
    await assert.rejects(
      machine.trace({ devices: ["d1"] }).next(),
      /^VireoError: trace: no device "d1"; there are d0$/,
    );
    await assert.rejects(
      machine.trace({ types: ["exits" as "exit"] }).next(),
      /no events are of type "exits", .*did you mean "exit"\?$/,
    );
    machine.start();
    const types = await Promise.all([typesOf(first), typesOf(second)]);
    assert.deepEqual(types, [["request"], ["exit"]]);
    for await (const event of machine.trace()) {
      assert.equal(event.type, "state"); // it has ended
    }
  },
}));

Deno.test("trace: nobody is waited for, and what is overwritten is counted", () => {
  const page = Recorder.create(1);
  const recorder = new Recorder(page);
  const event = (n: number) => recorder.record(n, 0, EXIT_EVENT, 0, 2, n, 0, 1);
  using reader = new TraceReader(partsOf(page, false));
  assert.deepEqual(reader.read(), []);
  for (let n = 0; n < 10; n++) event(n);
  assert.equal(reader.read().length, 10);
  const many = 3 * EVENTS_KEPT + 7;
  for (let n = 0; n < many; n++) event(n);
  const [lost, ...rest] = reader.read();
  assert.equal(lost!.type, "lost");
  // The oldest place may be written while it is read.
  const count = (lost as { count: number }).count;
  assert.equal(count, many - EVENTS_KEPT + 1);
  assert.equal(rest.length, EVENTS_KEPT - 1);
  assert.equal(rest.at(-1)!.time, many - 1);
  assert.equal(rest.at(-1)!.number, 10 + many - 1);
});

Deno.test("trace: with a limit, only the last are made, and the others are counted", () => {
  const page = Recorder.create(2);
  const recorder = new Recorder(page);
  const parts = partsOf(page);
  const types = ["doorbell"] as const;
  using reader = new TraceReader(parts, { types, devices: ["d0"], last: 3 });
  using flight = new FlightRecorder(parts, 3, {});
  const device = new DeviceRecorder(recorder, 0);
  const other = new DeviceRecorder(recorder, 1); // of a name that isn't asked
  const queues = (events: TraceEvent[]) =>
    events.map((event) => "queue" in event ? event.queue : event.type);
  for (let n = 0; n < 10; n++) {
    device.served(n, true);
    other.served(90, true);
    device.interrupted(80);
  }
  const [lost, ...rest] = reader.read();
  assert.equal((lost as { count: number }).count, 7);
  assert.deepEqual(queues(rest), [7, 8, 9]);
  device.served(11, true);
  assert.deepEqual(queues(reader.read()), [11]);
  assert.deepEqual(queues(flight.last()), [90, 80, 11]);
  device.served(12, true);
  assert.deepEqual(queues(flight.last()), [80, 11, 12]);
  assert.deepEqual(queues(flight.last()), [80, 11, 12]);
});

Deno.test("trace: vCPUs that aren't wanted record nothing", () => {
  const pages = [Recorder.create(1), Recorder.create(1)];
  const parts = {
    vcpus: pages.map((record) => ({ start: { record } })),
    devices: [],
  } as unknown as MachineParts;
  using reader = new TraceReader(parts, { types: ["exit"], vcpus: [1] });
  const run = { exitReason: 2 } as KvmRun;
  const began = pages.map((page, id) => new ExitRecorder(page, id).began(run));
  assert.deepEqual(began, [false, true]);
  assert.deepEqual(reader.read(), []);
});

Deno.test("trace: while nobody wants events, none is recorded", () => {
  const page = Recorder.create(1);
  const recorder = new Recorder(page);
  const exits = new ExitRecorder(page, 0);
  const run = { exitReason: 2 } as KvmRun;
  assert.equal(exits.began(run), false);
  const device = new DeviceRecorder(recorder, 0);
  device.served(0, true);
  device.began(1, 0, 0, 8, 4096);
  device.ended(1, 0);
  device.step("reset");
  device.emit("x");
  device.interrupted(0);
  assert.equal(recorder.head, 0);
  {
    using _reader = new TraceReader(partsOf(page, false), { types: ["exit"] });
    assert.equal(exits.began(run), true);
    device.interrupted(0);
    assert.equal(recorder.head, 0);
  }
  assert.equal(exits.began(run), false);
  assert.equal(recorder.counts[2], 3);
});

Deno.test("trace: texts come whole, whatever their length", () => {
  const page = Recorder.create(1);
  const device = new DeviceRecorder(new Recorder(page), 0);
  using reader = new TraceReader(partsOf(page));
  const texts = ["", "a", "x".repeat(32), "ü".repeat(17), "y".repeat(199)];
  for (const text of texts) device.emit(text, text.length);
  device.step("needs-reset", "queue 0: descriptor index too large");
  device.emit("z".repeat(1000));
  const events = reader.read();
  const own = events.filter((event) => event.type === "own");
  assert.deepEqual(own.map(({ name }) => name), [...texts, "z".repeat(200)]);
  assert.deepEqual(own.map(({ value }) => value).slice(0, 5), [
    ...[0, 1, 32, 17, 199],
  ]);
  const { why } = events.find((event) => event.type === "step")!;
  assert.equal(why, "queue 0: descriptor index too large");
});

Deno.test(needing([KVM], {
  name: "trace: a snapshot and a reset are steps of the machine's life",
  async fn() {
    await using test = await TestMachine.create({
      "boot-source": { kernel_image_path: COUNTS },
      "machine-config": { mem_size_mib: 16 },
    });
    const { machine } = test;
    machine.start();
    await test.printed("\x02");
    const batches = await machine.traceBatches({ types: ["state"] });
    using snapshot = await machine.snapshot();
    await machine.reset(snapshot);
    await machine.introspect(() => {});
    const steps: string[] = [];
    for await (const batch of batches) {
      for (const event of batch) {
        if (event.type === "state") steps.push(event.work ?? event.state);
      }
      await machine.stop();
    }
    const rest = (
      work: string,
    ) => ["pausing", "paused", work, "resuming", "running"];
    assert.deepEqual(steps, [
      "running",
      ...["snapshot", "reset", "introspect"].flatMap(rest),
      ...["ending", "ended"],
    ]);
  },
}));

Deno.test(needing([KVM], {
  name: "trace: a signal ends it, also while nothing happens",
  async fn() {
    using disk = new ScratchFile(8 << 20);
    await using test = await TestMachine.create(
      await demo(disk.path, "mmio"),
    );
    const { machine } = test;
    const closing = new AbortController();
    const { signal } = closing;
    const batches = await machine.traceBatches({ types: ["own"], signal });
    const next = batches.next();
    closing.abort();
    assert.deepEqual(await next, { value: undefined, done: true });
    const late = await machine.traceBatches({ types: ["own"], signal });
    assert.deepEqual(await late.next(), { value: undefined, done: true });
  },
}));
