/** The life of a machine, state by state: what each method does in each. */
import assert from "node:assert/strict";
import { EventFd } from "../ffi/eventfd.ts";
import { VireoError } from "../ffi/error.ts";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { buildElf } from "../guest/testing/mod.ts";
import type { VmConfig } from "./config/types.ts";
import { Machine } from "./machine.ts";
import {
  MachineLife,
  type MachineState,
  TRANSITIONS,
} from "./machine_state.ts";
import { TICKS } from "./testing/tiny_guest.ts";

const STATES = Object.keys(TRANSITIONS) as MachineState[];

/** For each state, a way there from the one before it. */
const WAY: Record<MachineState, MachineState[]> = {
  created: [],
  starting: ["starting"],
  running: ["starting", "running"],
  pausing: ["starting", "running", "pausing"],
  paused: ["starting", "running", "pausing", "paused"],
  resuming: ["starting", "running", "pausing", "paused", "resuming"],
  ending: ["ending"],
  ended: ["ending", "ended"],
};

Deno.test("MachineLife: goes where the table says, and nowhere else", () => {
  for (const from of STATES) {
    for (const to of STATES) {
      const life = new MachineLife();
      for (const step of WAY[from]) life.to(step);
      assert.equal(life.state, from);
      assert.equal(life.over, from === "ending" || from === "ended");
      if (TRANSITIONS[from].includes(to)) {
        life.to(to);
        assert.equal(life.state, to);
      } else {
        const message = `a machine that is ${from} can't be ${to}`;
        assert.throws(() => life.to(to), new Error(message));
        assert.equal(life.state, from);
      }
    }
  }
});

Deno.test("MachineLife: the table in docs/architecture.md is this one", () => {
  const document = new URL("../docs/architecture.md", import.meta.url);
  const text = Deno.readTextFileSync(document);
  const rows = [...text.matchAll(/^\| `(\w+)` +\| ([^|]*?) +\|/gm)]
    .filter(([, state]) => STATES.includes(state as MachineState))
    .map(([, state, next]) => [
      state,
      [...next!.matchAll(/`(\w+)`/g)].map(([, name]) => name),
    ]);
  assert.deepEqual(Object.fromEntries(rows), TRANSITIONS);
});

function config(): VmConfig {
  return {
    // While it runs, it exits.
    "boot-source": { kernel_image_path: TICKS, boot_args: "" },
    "machine-config": { mem_size_mib: 8, acpi: "on" },
    balloon: { amount_mib: 0, deflate_on_oom: false },
  };
}

function machineTest(name: string, fn: () => Promise<void>): void {
  Deno.test(needing([KVM], { name, fn }));
}

/** Waits until `machine` is in `state`. */
async function until(machine: Machine, state: MachineState): Promise<void> {
  while (machine.state !== state) {
    assert.notEqual(machine.state, "ended");
    await new Promise((done) => setTimeout(done, 1));
  }
}

async function isRunning(machine: Machine): Promise<void> {
  assert.equal(machine.state, "running");
  const before = machine.exits;
  while (machine.exits === before) {
    assert.equal(machine.state, "running");
    await new Promise((done) => setTimeout(done, 1));
  }
}

async function isPaused(machine: Machine): Promise<void> {
  assert.equal(machine.state, "paused");
  const before = machine.exits;
  await new Promise((done) => setTimeout(done, 20)); // of its ticks
  assert.equal(machine.exits, before);
}

/** How a machine gets into each state. States on the way last until an event. */
const ENTER: Record<MachineState, (machine: Machine) => Promise<void>> = {
  created: async () => {},
  // deno-lint-ignore require-await -- it is there at once
  starting: async (machine) => machine.start(),
  async running(machine) {
    machine.start();
    await until(machine, "running");
  },
  async pausing(machine) {
    await ENTER.running(machine);
    void machine.pause();
  },
  async paused(machine) {
    await ENTER.running(machine);
    await machine.pause();
  },
  async resuming(machine) {
    await ENTER.paused(machine);
    void machine.resume();
  },
  async ending(machine) {
    await ENTER.running(machine);
    void machine.stop();
  },
  async ended(machine) {
    await ENTER.running(machine);
    await isRunning(machine); // it has come to an exit
    await machine.stop();
  },
};

/** For each state, a test with a machine in it. */
function inEachState(
  what: string,
  body: (machine: Machine, state: MachineState) => Promise<void>,
): void {
  Deno.test(needing([KVM], {
    name: what,
    async fn(t) {
      for (const state of STATES) {
        await t.step(state, async () => {
          await using machine = await Machine.create(config());
          await ENTER[state](machine);
          assert.equal(machine.state, state);
          await body(machine, state);
        });
      }
    },
  }));
}

const isOver = (state: MachineState) => state === "ending" || state === "ended";

inEachState(
  "Machine.start: once, and not after the end; input, powerButton, exits: always",
  async (machine, state) => {
    // What they would write to after the end is somebody else's by now.
    const others = Array.from({ length: 20 }, () => new EventFd());
    machine.input(new TextEncoder().encode("typed"));
    machine.powerButton();
    assert.ok(others.every((other) => !other.drain()));
    for (const other of others) other.close();
    if (state === "created") assert.equal(machine.exits, 0);
    if (state === "ended") assert.ok(machine.exits > 0);

    if (state === "created") {
      machine.start();
      assert.equal(machine.state, "starting");
      await until(machine, "running");
      await isRunning(machine);
      return;
    }
    const message = isOver(state)
      ? "the machine has ended; a machine starts only once"
      : "a machine starts only once";
    assert.throws(() => machine.start(), new VireoError(message));
    assert.equal(machine.state, state, "and nothing has changed");
  },
);

inEachState(
  "Machine.pause: resolves when the machine is paused, or ends",
  async (machine, state) => {
    await machine.pause();
    if (state === "created") {
      assert.equal(machine.state, "created", "it is remembered");
      machine.start();
      assert.equal(machine.state, "pausing");
      await machine.pause();
      assert.equal(machine.exits, 0, "no instruction has run");
    }
    if (isOver(state)) assert.ok(isOver(machine.state));
    else await isPaused(machine);
  },
);

inEachState(
  "Machine.resume: resolves when the machine runs, or ends",
  async (machine, state) => {
    await machine.resume();
    if (state === "created") {
      assert.equal(machine.state, "created", "there is nothing to resume");
      machine.start();
      await machine.resume();
    }
    if (isOver(state)) assert.ok(isOver(machine.state));
    else await isRunning(machine);
  },
);

inEachState(
  "Machine.stop, wait, asyncDispose: the end, and the first reason",
  async (machine) => {
    const waited = machine.wait();
    const stopped = machine.stop();
    assert.ok(isOver(machine.state), "at once");
    const disposed = machine[Symbol.asyncDispose]();
    assert.deepEqual(await stopped, { reason: "stopped" });
    assert.deepEqual(await waited, { reason: "stopped" });
    await disposed;
    assert.equal(machine.state, "ended");
    assert.deepEqual(await machine.stop(), { reason: "stopped" });
    assert.deepEqual(await machine.wait(), { reason: "stopped" });
  },
);

inEachState(
  "Machine.command, balloon: before the start they wait, after the end they are refused",
  async (machine, state) => {
    const unknown = { name: "VireoError", message: "this machine has no disk" };
    await assert.rejects(machine.command("disk", {}), unknown);
    await assert.rejects(machine.resizeDrive("disk"), unknown);
    const answer = machine.balloon.stats();
    if (isOver(state)) {
      const ended = { name: "VireoError", message: "the machine has ended" };
      return await assert.rejects(answer, ended);
    }
    if (state === "created") {
      const timeout = new Promise((done) => setTimeout(done, 20, "waits"));
      assert.equal(await Promise.race([answer, timeout]), "waits");
      machine.start();
    }
    assert.equal((await answer).target_mib, 0);
  },
);

machineTest(
  "Machine: stopped before its start, it ends and can't be started",
  async () => {
    const machine = await Machine.create(config());
    const waited = machine.wait();
    const answer = assert.rejects(machine.balloon.stats(), /has ended/);
    const stopped = machine.stop();
    assert.throws(
      () => machine.start(),
      /^VireoError: the machine has ended; /,
    );
    assert.deepEqual(await stopped, { reason: "stopped" });
    assert.deepEqual(await waited, { reason: "stopped" });
    await answer;
    assert.throws(
      () => machine.start(),
      /^VireoError: the machine has ended; /,
    );
  },
);

machineTest(
  "Machine: a remembered pause can be taken back, before the start and after",
  async () => {
    await using early = await Machine.create(config());
    await early.pause();
    await early.resume();
    early.start();
    await until(early, "running");
    await isRunning(early);

    await using late = await Machine.create(config());
    void late.pause();
    late.start();
    await late.resume();
    await isRunning(late);
  },
);

type Call = "pause" | "resume" | "stop";

/** All rows of `length` calls. */
function rows(length: number, calls: readonly Call[]): Call[][] {
  if (length === 0) return [[]];
  return rows(length - 1, calls).flatMap((row) =>
    calls.map((call) => [...row, call])
  );
}

machineTest(
  "Machine: pauses and resumes at once happen one after the other",
  async () => {
    await using machine = await Machine.create(config());
    machine.start();
    for (const calls of rows(4, ["pause", "resume"])) {
      const seen: string[] = [];
      await Promise.all(
        calls.map((call) =>
          machine[call]().then(() => seen.push(machine.state))
        ),
      );
      const states = { pause: "paused", resume: "running", stop: "" };
      assert.deepEqual(seen, calls.map((call) => states[call]), calls.join());
    }
    // The last of them.
    await isRunning(machine);
  },
);

machineTest(
  "Machine: a stop among pauses and resumes ends them all",
  async () => {
    const mixed = rows(2, ["pause", "resume", "stop"])
      .filter((calls) => calls.includes("stop"));
    for (const from of ["starting", "paused"] as const) {
      for (const calls of mixed) {
        await using machine = await Machine.create(config());
        await ENTER[from](machine);
        await Promise.all(calls.map((call) => machine[call]()));
        assert.ok(isOver(machine.state), calls.join());
        assert.deepEqual(await machine.wait(), { reason: "stopped" });
      }
    }
  },
);

machineTest(
  "Machine: a guest that ends by itself ends the pause that it meets",
  async () => {
    // out 0x64, 0xfe: a reset by the keyboard controller
    const reset = [0xb0, 0xfe, 0xe6, 0x64, 0xf4];
    const kernel = buildElf({
      segments: [{ address: 0x10_0000n, bytes: Uint8Array.from(reset) }],
    });
    const source = { kernel_image_path: kernel, boot_args: "" };
    for (let round = 0; round < 4; round++) {
      await using machine = await Machine.create({
        ...config(),
        "boot-source": source,
      });
      machine.start();
      for (let i = 0; i < round; i++) await Promise.resolve();
      const paused = machine.pause();
      await paused;
      await machine.resume();
      assert.equal((await machine.wait()).reason, "reset");
      assert.equal(machine.state, "ended");
    }
  },
);
