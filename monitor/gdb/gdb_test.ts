/** A debugger over gdb's protocol, with guests of a few instructions. */
import assert from "node:assert/strict";
import { Kvm } from "../../ffi/kvm/kvm.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { readPayload } from "../../images/payload/payload.ts";
import { COUNTS } from "../../vmm/testing/tiny_guest.ts";
import { GDB_REGISTERS } from "./registers.ts";
import { debugged, prints } from "../testing/debugged.ts";
import { GdbClient, registerOf } from "./testing/gdb_client.ts";

const RAX = 0, RIP = 16;
/** Of {@linkcode COUNTS}: `inc al`, `out dx, al`, and the jump back. */
const INC = 0x10_0004n, OUT = 0x10_0006n, JUMP = 0x10_0007n;
const CODE = "66baf803fec0eeebfb";

function kvmTest(name: string, fn: () => Promise<void>): void {
  Deno.test(needing([KVM], { name, fn }));
}

kvmTest(
  "gdb: attaches, reads and sets registers and memory, steps, breaks, goes",
  async () => {
    await using guest = await debugged();
    const { test, target } = guest;
    test.machine.start();
    await prints(test);
    assert.equal(Deno.statSync(target).mode! & 0o777, 0o600);
    using gdb = await GdbClient.connect(target);
    assert.match(await gdb.ask("qSupported:multiprocess+"), /PacketSize=4000/);
    assert.equal(test.machine.state, "paused");
    assert.equal(await gdb.ask("QStartNoAckMode"), "OK");
    assert.equal(await gdb.ask("?"), "T02thread:1;");
    assert.equal(await gdb.ask("qfThreadInfo"), "m1");
    assert.equal(await gdb.ask("m100000,9"), CODE);

    // Steps: one instruction each.
    assert.equal(await gdb.ask("Z1,100006,1"), "OK");
    const at = async () => registerOf(await gdb.ask("g"), RIP);
    assert.equal(await gdb.ask("vCont;c"), "T05thread:1;hwbreak:;");
    assert.equal(await at(), OUT);
    assert.equal(await gdb.ask("z1,100006,1"), "OK");
    for (const next of [JUMP, INC, OUT, JUMP]) {
      assert.equal(await gdb.ask("vCont;s:1;c"), "T05thread:1;");
      assert.equal(await at(), next);
    }
    // A register, alone and among all.
    const letter = 0x70n;
    assert.equal(
      await gdb.ask(`P0=${letter.toString(16)}00000000000000`),
      "OK",
    );
    assert.equal(registerOf(await gdb.ask("g"), RAX), letter);
    assert.equal(await gdb.ask("p0"), "7000000000000000");
    test.clear();
    assert.equal(await gdb.ask("Z0,100007,1"), "OK");
    assert.equal(await gdb.ask("vCont;s:1"), "T05thread:1;");
    assert.equal(await gdb.ask("vCont;c"), "T05thread:1;swbreak:;");
    assert.equal(await at(), JUMP);
    await until(() => test.output === "q", "what was set", () => test.output);
    // Memory: the code itself, by digits and as bytes. `inc al` becomes `dec al`.
    assert.equal(await gdb.ask("M100005,1:c8"), "OK");
    assert.equal(await gdb.ask("X100005,1:\xc8"), "OK");
    assert.equal(await gdb.ask("m100004,2"), "fec8");
    assert.equal(await gdb.ask("vCont;c"), "T05thread:1;swbreak:;");
    assert.equal(await at(), JUMP, "again: it had not gone on");
    assert.equal(await gdb.ask("z0,100007,1"), "OK");
    await gdb.send("vCont;c");
    await until(() => test.output.includes("qpo"), "less", () => test.output);
    await gdb.raw(Uint8Array.of(3));
    assert.equal(await gdb.next(), "T02thread:1;");
    assert.equal(await gdb.ask("D"), "OK");
    await gdb.closed();
    await prints(test);
    assert.equal(test.machine.state, "running");
  },
);

kvmTest(
  "gdb: waits with the guest's first instruction until it is let go",
  async () => {
    await using guest = await debugged(COUNTS, { tcp: true });
    const { test, target } = guest;
    await test.machine.pause();
    test.machine.start();
    using gdb = await GdbClient.connect(target);
    assert.equal(registerOf(await gdb.ask("g"), RIP), 0x10_0000n);
    assert.equal(await gdb.ask("Z1,100006,1"), "OK");
    assert.equal(await gdb.ask("c"), "T05thread:1;hwbreak:;");
    assert.equal(test.output, "");
    assert.equal(await gdb.ask("z1,100006,1"), "OK");
    await gdb.send("c");
    await prints(test);
  },
);

kvmTest(
  "gdb: x87, SSE, segments and control registers, by target.xml",
  async () => {
    await using guest = await debugged();
    guest.test.machine.start();
    using gdb = await GdbClient.connect(guest.target);
    let xml = "";
    for (let more = true; more;) {
      const offset = xml.length.toString(16);
      const part = await gdb.ask(
        `qXfer:features:read:target.xml:${offset},400`,
      );
      more = part[0] === "m";
      xml += part.slice(1);
    }
    const names = [...xml.matchAll(/<reg name="(\w+)"/g)].map(([, name]) =>
      name
    );
    assert.deepEqual(names, GDB_REGISTERS.map(({ name }) => name));
    const all = await gdb.ask("g");
    const bits = [...xml.matchAll(/ bitsize="(\d+)"/g)]
      .reduce((sum, [, size]) => sum + Number(size), 0);
    assert.equal(all.length * 4, bits);
    const number = (name: string) => names.indexOf(name).toString(16);
    const read = (name: string) => gdb.ask(`p${number(name)}`);
    assert.equal(await read("fctrl"), "7f030000");
    assert.equal(await read("mxcsr"), "801f0000");
    assert.equal(await read("cs"), "10000000");
    const efer = await read("efer");
    assert.equal(parseInt(efer.slice(2, 4), 16) & 5, 5, efer); // LME, LMA
    const set = { xmm3: "0123456789abcdef0123456789abcdef" };
    for (
      const [name, value] of Object.entries({ ...set, st2: "11".repeat(10) })
    ) {
      assert.equal(await gdb.ask(`P${number(name)}=${value}`), "OK");
      assert.equal(await read(name), value);
    }
    assert.equal(await gdb.ask(`G${await gdb.ask("g")}`), "OK");
    assert.equal(
      await gdb.ask(`P${number("cs")}=00000000`),
      "E.cs can't be set",
    );
    assert.equal(await gdb.ask("p999"), "E01");
  },
);

kvmTest("gdb: threads are vCPUs, each with its registers", async () => {
  const cpus = 3;
  const words = `smp=${cpus} ap=count`;
  await using guest = await debugged(await readPayload(), { cpus, words });
  guest.test.machine.start();
  await guest.test.printed(/counters at 0x\w+\n/);
  using gdb = await GdbClient.connect(guest.target);
  assert.equal(await gdb.ask("qfThreadInfo"), "m1,2,3");
  const stacks = new Set<bigint>();
  for (const thread of [1, 2, 3]) {
    assert.equal(await gdb.ask(`Hg${thread}`), "OK");
    stacks.add(registerOf(await gdb.ask("g"), 7));
    assert.equal(await gdb.ask(`T${thread}`), "OK");
    const about = await gdb.ask(`qThreadExtraInfo,${thread}`);
    const text = new TextDecoder().decode(Uint8Array.fromHex(about));
    assert.match(text, new RegExp(`^vCPU ${thread - 1}: (user|kernel)$`));
  }
  assert.equal(stacks.size, 3);
  assert.equal(await gdb.ask("Hg4"), "E01");
  assert.equal(await gdb.ask("T4"), "E01");
});

kvmTest(
  "gdb: what this host can't is refused: it says so, and nothing moves",
  async () => {
    await using guest = await debugged();
    guest.test.machine.start();
    using gdb = await GdbClient.connect(guest.target);
    using kvm = new Kvm();
    const { isHardwareAssisted } = kvm;
    const watch = await gdb.ask("Z2,200000,4");
    assert.equal(
      watch,
      isHardwareAssisted ? "OK" : "E.this host has no watchpoints",
    );
    const before = await gdb.ask("g");
    for (let i = isHardwareAssisted ? 1 : 0; i < 4; i++) {
      assert.equal(await gdb.ask(`Z1,ffff800000${i}00000,1`), "OK");
    }
    const full = "E.a vCPU has 4 breakpoints, all in use";
    assert.equal(await gdb.ask("Z1,ffff800000400000,1"), full);
    assert.equal(await gdb.ask("g"), before);
  },
);

/** Of the payload's programs that count: to the counter, add, store, jump. */
const LOOP = [0, 7, 11, 18];

kvmTest(
  "gdb: programs are stepped and stopped, on two vCPUs, and never know",
  async () => {
    const words = "smp=2 ap=count";
    await using guest = await debugged(await readPayload(), { cpus: 2, words });
    const { test, target } = guest;
    test.machine.start();
    await test.printed(/counters at 0x\w+\n/);
    const counters = Number(/counters at (0x\w+)/.exec(test.output)![1]);
    const read = async () =>
      await test.machine.introspect(({ memory }) =>
        [0, 64].map((at) => memory.view(counters + at, 8).getBigUint64(0, true))
      );
    // Where they count: in a loop of 20 bytes at CPL3.
    await until(
      async () => (await read()).every((count) => count > 0n),
      "counts",
    );
    using gdb = await GdbClient.connect(target);
    const at = async () => registerOf(await gdb.ask("g"), RIP);
    const first = await at();
    const code = await gdb.ask(`m${(first - 18n).toString(16)},26`);
    const jump = /^((?:..)*?)488b82/.exec(code)![1]!.length / 2;
    const loop = first - 18n + BigInt(jump);
    const places = LOOP.map((offset) => loop + BigInt(offset));
    let place = places.indexOf(first);
    assert.ok(place >= 0, `${first} in ${places}`);
    for (let i = 0; i < 9; i++) {
      assert.equal(await gdb.ask("vCont;s:1"), "T05thread:1;");
      place = (place + 1) % LOOP.length;
      assert.equal(await at(), places[place]);
    }
    const bp = places[1]!.toString(16);
    for (let i = 0; i < 20; i++) {
      assert.equal(await gdb.ask(`Z0,${bp},1`), "OK");
      const stop = await gdb.ask("vCont;c");
      const thread = /^T05thread:([12]);swbreak:;$/.exec(stop)?.[1];
      assert.ok(thread, stop);
      assert.equal(await at(), places[1]);
      assert.equal(await gdb.ask(`z0,${bp},1`), "OK");
      assert.equal(await gdb.ask(`m${bp},4`), "4883c001", "as it was");
      assert.equal(await gdb.ask(`vCont;s:${thread}`), `T05thread:${thread};`);
      assert.equal(await at(), places[2]);
    }
    // Gone in the middle of it: with a breakpoint set, and a step on its way.
    await gdb.ask(`Z0,${bp},1`);
    await gdb.send("vCont;s:1;c");
    gdb[Symbol.dispose]();
    await until(() => test.machine.state === "running", "running");
    const before = await read();
    await until(
      async () => (await read()).every((count, i) => count > before[i]!),
      "both count on",
      () => test.output,
    );
    assert.doesNotMatch(test.output, /exception|FAILED/);
  },
);

kvmTest(
  "gdb: monitor shows state, devices and pages, and puts the machine back",
  async () => {
    await using guest = await debugged();
    const { test, target } = guest;
    test.machine.start();
    await prints(test);
    using gdb = await GdbClient.connect(target);
    const first = await gdb.ask("g");
    assert.match(await gdb.monitor("help"), /^monitor snapshot .*folder/im);
    assert.match(await gdb.monitor("state"), /^vCPU 0: runs, CPL 0\n {2}rax/m);
    assert.equal(await gdb.monitor("devices"), "none\n");
    assert.match(
      await gdb.monitor("walk 0x100004"),
      /^PML4 .*\nPDPT .*\nPD .*\nat 0x100004, in a page of 2097152 bytes: writ/,
    );
    assert.match(await gdb.monitor("walk fffff00000000000"), /not mapped$/m);
    assert.match(await gdb.monitor("reset"), /^nothing to go back to/);
    assert.match(await gdb.monitor("snapshot"), /^kept for "monitor reset"/);
    await gdb.ask("vCont;s"); // it may be where the breakpoint will be
    await gdb.ask("Z1,100006,1");
    assert.match(await gdb.ask("vCont;c"), /hwbreak/);
    assert.notEqual(await gdb.ask("g"), first);
    assert.match(await gdb.monitor("reset"), /flush register-cache/);
    assert.equal(await gdb.ask("g"), first);
    assert.match(await gdb.monitor("nonsense"), /no such command: "nonsense"/);
    assert.match(await gdb.monitor("snapshot a/b"), /absolute path/);
  },
);
