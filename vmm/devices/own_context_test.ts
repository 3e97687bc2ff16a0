/** What devices of the user's own may ask of their thread, and what goes wrong. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { buildElf } from "../../guest/testing/mod.ts";
import type { OwnEvent } from "../../devices/own/context.ts";
import type { VmConfig } from "../config/types.ts";
import { Machine } from "../machine.ts";

/** A module whose device has these methods besides. */
function moduleOf(methods: string): string {
  const source = `export default class {
    deviceId = 63;
    features = [0, 0];
    queueSizes = [8];
    config = new Uint8Array();
    constructor(options) { this.options = options; }
    attach(context) { this.context = context; this.began?.(); }
    activate() {}
    notify() {}
    reset() {}
    close() {}
    ${methods}
  }`;
  return `data:text/javascript,${encodeURIComponent(source)}`;
}

/** A machine whose guest spins for ever, with one device; it runs. */
async function running(methods: string, options?: unknown) {
  const jumpToItself = Uint8Array.of(0xeb, 0xfe);
  const kernel = buildElf({
    segments: [{ address: 0x10_0000n, bytes: jumpToItself }],
  });
  const config: VmConfig = {
    "boot-source": { kernel_image_path: kernel, boot_args: "" },
    "machine-config": { mem_size_mib: 8 },
    devices: [{ module: moduleOf(methods), name: "mine", options }],
  };
  const log: string[] = [];
  const events: OwnEvent[] = [];
  const machine = await Machine.create(config, {
    onLog: (line) => log.push(line),
    onEvent: (event) => events.push(event),
  });
  machine.start();
  await until(() => machine.state !== "starting", "every thread at work");
  return {
    ...{ machine, log, events },
    logged: (line: RegExp) =>
      until(
        () => log.some((one) => line.test(one)),
        `${line}`,
        () => log.join("\n"),
      ),
    [Symbol.asyncDispose]: () => machine.stop().then(() => {}),
  };
}

Deno.test(needing([KVM], {
  name:
    "own devices: a context has a name, a log, events, timers and descriptors",
  async fn() {
    await using test = await running(
      `began() {
        const { context } = this;
        context.log(context.name + " " + this.options.greeting);
        const emitIn = (ms, name, n) => {
          const due = performance.now() + ms;
          context.setTimer(ms, () => context.emit(name, { n, due }));
        };
        emitIn(500, "later", 2);
        emitIn(1, "soon", 1);
        context.setTimer(200, () => context.emit("never"))();
      }
      command({ fd }) {
        this.context.watch(fd, { onReady: (events) => {
          this.context.unwatch(fd);
          this.context.emit("ready", events);
        } });
      }`,
      { greeting: "hello" },
    );
    const { log, events, machine } = test;
    await until(() => events.length === 2, "two timers");
    assert.deepEqual(log, ["mine: mine hello"]);
    const told = events.map(({ device, name, data }) => {
      const { n, due } = data as { n: number; due: number };
      return { due, of: [device, name, n] };
    });
    // The one that is due first comes first: the later one, if its thread lost
    // its core for half a second between the two.
    assert.deepEqual(
      told.map(({ of }) => of),
      told.toSorted((a, b) => a.due - b.due).map(({ of }) => of),
    );
    assert.deepEqual(told.map(({ of }) => of).toSorted(), [
      ...[["mine", "later", 2], ["mine", "soon", 1]],
    ]);
    assert.ok(events[0]!.time <= events[1]!.time);
    assert.ok(Math.abs(Date.now() - events[0]!.time) < 60_000);
    const { EventFd } = await import("../../ffi/eventfd.ts");
    using fd = new EventFd();
    await machine.command("mine", { fd: fd.fd });
    fd.signal();
    await until(() => events.length === 3, "a descriptor");
    assert.deepEqual(events[2]!.data, 1);
  },
}));

Deno.test(needing([KVM], {
  name: "own devices: promises are kept: awaits, Deno's timers and files",
  async fn() {
    await using test = await running(`async command({ path, fail }) {
      await new Promise((go) => setTimeout(go, 1));
      if (fail) throw new Error("refused: " + fail);
      const bytes = await Deno.readFile(path);
      const hash = await crypto.subtle.digest("SHA-256", bytes);
      return { bytes: bytes.length, hash: hash.byteLength };
    }`);
    const { machine } = test;
    const path = new URL(import.meta.url).pathname;
    const both = await Promise.all([
      machine.command("mine", { path }),
      machine.command("mine", { path }),
    ]);
    const bytes = (await Deno.stat(path)).size;
    assert.deepEqual(both, Array(2).fill({ bytes, hash: 32 }));
    await assert.rejects(machine.command("mine", { fail: "no" }), {
      message: "refused: no",
    });
    await machine.pause();
    assert.deepEqual(await machine.command("mine", { path }), both[0]);
    await machine.resume();
    assert.deepEqual(await machine.command("mine", { path }), both[0]);
  },
}));

const FAILURES: Record<string, string> = {
  "at once": `this.context.setTimer(0, () => { throw new TypeError("oh") });`,
  "by a promise":
    `this.context.setTimer(0, async () => { await null; throw new TypeError("oh") });`,
  "by a promise that nobody has":
    `(async () => { await null; throw new TypeError("oh") })();`,
  "in a timer of Deno's": `setTimeout(() => { throw new TypeError("oh") });`,
};
for (const [how, code] of Object.entries(FAILURES)) {
  Deno.test(needing([KVM], {
    name:
      `own devices: what fails ${how} is told in a line, and the machine goes on`,
    async fn() {
      await using test = await running(`command() { ${code} }`);
      await test.machine.command("mine", null);
      await test.logged(/TypeError: oh/);
      assert.match(
        test.log[0]!,
        /^(mine: virtio device 63|a module of yours): /,
      );
      assert.doesNotMatch(test.log[0]!, /\n/);
      await test.machine.command("mine", null);
      assert.equal(test.machine.state, "running");
    },
  }));
}

Deno.test(needing([KVM], {
  name:
    "own devices: a promise that is never kept holds up no pause, and no end, but a snapshot",
  async fn() {
    await using test = await running(`quiesce() {}
      began() {
        this.context.setTimer(0, () => new Promise(() => {}));
        this.context.setTimer(1, () => this.context.emit("promised"));
      }`);
    await until(() => test.events.length === 1, "a promise");
    await assert.rejects(test.machine.snapshot(), {
      message: "mine: can't be saved: it has not kept a promise",
    });
    assert.match(test.log[0]!, /^mine: a promise is not kept after 2 s; /);
    assert.equal(test.machine.state, "running");
  },
}));
