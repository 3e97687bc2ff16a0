/** A debugger where programs go into their kernel, and come back. */
import assert from "node:assert/strict";
import { Kvm } from "../../ffi/kvm/kvm.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { readPayload } from "../../images/payload/payload.ts";
import type { TestMachine } from "../../vmm/testing/mod.ts";
import { debugged } from "../testing/debugged.ts";
import {
  ENTRY,
  FAULTS,
  HANDLER,
  PROGRAM,
  runSystemCalls,
  SYSCALL,
  systemCalls,
  takeAway,
} from "../testing/system_calls.ts";
import { GdbClient, registerOf } from "./testing/gdb_client.ts";

const RIP = 16, RFLAGS = 17;
const RFLAGS_TF = 1n << 8n;
const CPUS = 2;
const BEHIND = PROGRAM[SYSCALL + 1]!;

/** Two vCPUs in a loop of system calls, and a debugger that has come. */
async function debuggedCalls() {
  await using stack = new AsyncDisposableStack();
  const words = `smp=${CPUS} ap=count`;
  const guest = stack.use(
    await debugged(await readPayload(), { cpus: CPUS, words }),
  );
  const { test, target } = guest;
  test.machine.start();
  await test.printed(/counters at 0x\w+\n/);
  const counters = Number(/counters at (0x\w+)/.exec(test.output)![1]);
  await until(
    () =>
      test.machine.introspect(({ memory }) =>
        [0, 64].every((at) =>
          memory.view(counters + at, 8).getBigUint64(0, true) > 0n
        )
      ),
    "both count, at CPL3",
  );
  await test.machine.introspect(runSystemCalls);
  const gdb = stack.use(await GdbClient.connect(target));
  const kept = stack.move();
  /** Where a thread is. */
  const at = async (thread: number) => {
    assert.equal(await gdb.ask(`Hg${thread}`), "OK");
    return registerOf(await gdb.ask("g"), RIP);
  };
  return {
    ...{ test, gdb, at },
    /** Steps one, while the other waits: where it comes to. */
    async step(thread: number) {
      assert.equal(await gdb.ask(`vCont;s:${thread}`), `T05thread:${thread};`);
      return await at(thread);
    },
    /** Goes on until a breakpoint, one alone; where it comes to. */
    async go(thread: number, kind: "hw" | "sw") {
      const stop = await gdb.ask(`vCont;c:${thread}`);
      assert.equal(stop, `T05thread:${thread};${kind}break:;`);
      return await at(thread);
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

async function bothGoOn(test: TestMachine): Promise<void> {
  const { machine } = test;
  const before = await machine.introspect(systemCalls);
  await until(
    async () =>
      (await machine.introspect(systemCalls))
        .every((count, i) => count > before[i]!),
    "both go on",
    () => test.output,
  );
  assert.doesNotMatch(test.output, /exception|FAILED/);
}

function callTest(
  name: string,
  body: (
    calls: Awaited<ReturnType<typeof debuggedCalls>>,
    assisted: boolean,
  ) => Promise<void>,
): void {
  Deno.test(needing([KVM], {
    name,
    async fn() {
      using kvm = new Kvm();
      await using calls = await debuggedCalls();
      await body(calls, kvm.isHardwareAssisted);
    },
  }));
}

const hex = (address: bigint) => address.toString(16);

callTest(
  "gdb: stops at the entry of system calls, steps into the kernel, and out again",
  async ({ test, gdb, at, step, go }, assisted) => {
    // What a step passes from the entry on.
    const way = assisted ? [BEHIND] : [...HANDLER, BEHIND];
    for (let round = 0; round < 3; round++) {
      for (const thread of [1, 2]) {
        assert.equal(await gdb.ask(`Z1,${hex(ENTRY)},1`), "OK");
        assert.equal(await go(thread, "hw"), ENTRY);
        assert.equal(await go(thread, "hw"), ENTRY, "it had not gone on");
        // As gdb goes on from a breakpoint: a step without it.
        assert.equal(await gdb.ask(`z1,${hex(ENTRY)},1`), "OK");
        if (round === 1) continue;
        for (const place of way) assert.equal(await step(thread), place);
        for (let next = SYSCALL + 2; next < 8; next++) {
          assert.equal(await step(thread), PROGRAM[next % PROGRAM.length]);
        }
      }
    }
    // Both at once: the one that isn't told comes to it again.
    assert.equal(await gdb.ask(`Z1,${hex(ENTRY)},1`), "OK");
    const told = new Set<string>();
    await until(async () => {
      const stop = await gdb.ask("vCont;c");
      const [, thread] = /^T05thread:([12]);hwbreak:;$/.exec(stop) ?? [];
      assert.ok(thread, stop);
      assert.equal(await at(Number(thread)), ENTRY);
      assert.equal(await gdb.ask(`z1,${hex(ENTRY)},1`), "OK");
      const stepped = await gdb.ask(`vCont;s:${thread};c`);
      assert.equal(stepped, `T05thread:${thread};`);
      assert.equal(await at(Number(thread)), way[0]);
      assert.equal(await gdb.ask(`Z1,${hex(ENTRY)},1`), "OK");
      told.add(thread);
      return told.size === CPUS;
    }, "a stop of each");
    assert.equal(await gdb.ask("D"), "OK");
    await bothGoOn(test);
  },
);

callTest(
  "gdb: a step over SYSCALL ends in the program, a breakpoint behind it stops, and so does an interrupt",
  async ({ test, gdb, at, step, go }) => {
    const bp = hex(BEHIND);
    for (const thread of [1, 2, 1]) {
      assert.equal(await gdb.ask(`Z0,${bp},1`), "OK");
      assert.equal(await go(thread, "sw"), BEHIND);
      assert.equal(await gdb.ask(`z0,${bp},1`), "OK");
      for (let next = SYSCALL + 2; next < 9; next++) {
        assert.equal(await step(thread), PROGRAM[next % PROGRAM.length]);
      }
      assert.equal(await at(thread), PROGRAM[SYSCALL]);
      // With the breakpoint behind it, in the place of the step's end.
      assert.equal(await gdb.ask(`Z0,${bp},1`), "OK");
      assert.equal(await step(thread), BEHIND);
      const flags = registerOf(await gdb.ask("g"), RFLAGS);
      assert.equal(flags & RFLAGS_TF, 0n);
      assert.equal(await gdb.ask(`z0,${bp},1`), "OK");
    }
    // Wherever that finds them: a step from there ends.
    for (let round = 0; round < 10; round++) {
      await gdb.send("vCont;c");
      await gdb.raw(Uint8Array.of(3));
      assert.match((await gdb.next())!, /^T02thread:[12];$/);
      for (const thread of [1, 2]) {
        const before = await at(thread);
        assert.notEqual(await step(thread), before);
      }
    }
    assert.equal(await gdb.ask("D"), "OK");
    await bothGoOn(test);
  },
);

callTest(
  "gdb: a program's own page fault is its kernel's, in a step, and with a breakpoint at the entry",
  async ({ test, gdb, at, step, go }, assisted) => {
    assert.equal(await gdb.ask(`Z1,${hex(ENTRY)},1`), "OK");
    assert.equal(await go(1, "hw"), ENTRY);
    if (assisted) return; // it is in the kernel now
    const begin = () =>
      test.machine.introspect(({ vcpus: [vcpu] }) => {
        vcpu!.setRegisters({ rip: FAULTS[0]! });
      });
    await begin();
    for (const place of FAULTS.slice(1)) assert.equal(await step(1), place);
    await test.machine.introspect(takeAway);
    await begin();
    const last = FAULTS.at(-1)!;
    assert.equal(await gdb.ask(`Z0,${hex(last)},1`), "OK");
    assert.equal(await go(1, "sw"), last);
    assert.equal(await gdb.ask(`z0,${hex(last)},1`), "OK");
    await test.machine.introspect(({ vcpus: [vcpu] }) => {
      vcpu!.setRegisters({ rip: PROGRAM[0]! });
    });
    assert.equal(await go(1, "hw"), ENTRY);
    assert.equal(await at(1), ENTRY);
    assert.equal(await gdb.ask("D"), "OK");
    await bothGoOn(test);
  },
);
