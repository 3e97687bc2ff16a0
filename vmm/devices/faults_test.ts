/** Faults of disks and networks: by rules, the same for the same seed. */
import assert from "node:assert/strict";
import type { FaultPlan, FaultRule } from "../../devices/faults/rules.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { readPayload } from "../../images/payload/payload.ts";
import { resolve } from "../config/mod.ts";
import type { VmConfig } from "../config/types.ts";
import { ScratchFile, TestMachine } from "../testing/mod.ts";
import type { Drive } from "./blk.ts";

/** Answers ARP and pings from 10.0.0.1, as examples/pong.ts does. */
const PONG = import.meta.resolve("../../examples/pong.ts");

async function disk(
  words: string,
  faults: FaultPlan | undefined,
  drive: Partial<Drive>,
): Promise<TestMachine> {
  const config: VmConfig = {
    "boot-source": { kernel_image_path: await readPayload(), boot_args: words },
    "machine-config": { mem_size_mib: 16 },
    drives: [{ drive_id: "d", is_root_device: false, faults, ...drive }],
  };
  return await TestMachine.create(config);
}

/** What happened, without its time. */
function faultsOf({ events }: TestMachine): unknown[] {
  return events.map(({ device, name, data }) => [device, name, data]);
}

Deno.test(needing([KVM], {
  name: "faults: the same seed chooses the same requests, another one others",
  async fn() {
    using image = new ScratchFile(1 << 20);
    const run = async (seed: number) => {
      const rules: FaultRule[] = [{
        ...{ on: "read", effect: "short", probability: 0.9 },
      }];
      await using test = await disk(
        "demo",
        { seed, rules },
        { path_on_host: image.path },
      );
      assert.match((await test.run()).output, /payload: ok/);
      return faultsOf(test);
    };
    const [first, again, other] = [await run(1), await run(1), await run(2)];
    assert.ok(first.length > 5, `${first.length} faults`);
    assert.deepEqual(first, again);
    assert.notDeepEqual(first, other);
    const [device, name, data] = first[0] as [string, string, FaultRule];
    assert.deepEqual([device, name, data.on], ["d", "fault", "read"]);
  },
}));

/** What the payload makes of a disk's fault, and how many there were. */
const DISK: Record<string, [rule: FaultRule, output: RegExp, faults: number]> =
  {
    "a sector's error": [
      { on: "read", effect: "error", first_sector: 0, last_sector: 0 },
      /blk0: read FAILED: IOERR/,
      1,
    ],
    "the first flush's error": [
      { on: "flush", effect: "error", nth: 1, errno: "ENOSPC" },
      /blk0: flush FAILED: IOERR/,
      1,
    ],
    "short transfers": [{ on: "read", effect: "short" }, /payload: ok/, 4],
    "short writes": [
      { on: "write", effect: "short", bytes: 1024 },
      /payload: ok/,
      4,
    ],
    "a delay": [
      { on: "read", effect: "delay", delay_ms: 1, jitter_ms: 1, mean_ms: 1 },
      /payload: ok/,
      2,
    ],
    "every second one after the next": [
      { on: "read", effect: "reorder", every: 2 },
      /payload: ok/,
      1,
    ],
    "a write that is lost": [
      { on: "write", effect: "drop", nth: 1 },
      /FAILED/,
      1,
    ],
    "a wrong bit, once": [
      { on: "read", effect: "corrupt", nth: 2, first_sector: 1 },
      /64 KiB FAILED/,
      1,
    ],
  };

Deno.test(needing([KVM], {
  name: "faults: a disk's, each by its rule, on an image and on a module",
  async fn() {
    const module = `data:text/javascript,${
      encodeURIComponent(`export default class {
        size = 1 << 20;
        data = new Uint8Array(1 << 20);
        async read(offset, bytes) {
          bytes.set(this.data.subarray(offset, offset + bytes.length));
        }
        write(offset, bytes) { this.data.set(bytes, offset); }
      }`)
    }`;
    for (const [what, [rule, output, least]] of Object.entries(DISK)) {
      using image = new ScratchFile(1 << 20);
      const turn = what.length % 2 === 0;
      await using test = await disk(
        "demo",
        { rules: [rule] },
        turn ? { path_on_host: image.path } : { backend: module },
      );
      const run = await test.run();
      assert.match(run.output, output, what);
      assert.deepEqual(run.log, [], what);
      const faults = faultsOf(test).length;
      assert.ok(faults >= least, `${what}: ${faults} faults`);
    }
  },
}));

Deno.test(needing([KVM], {
  name:
    "faults: what is stalled goes on with other rules; a snapshot and the end don't wait",
  async fn() {
    using image = new ScratchFile(1 << 20);
    const stall: FaultPlan = { rules: [{ on: "read", effect: "stall" }] };
    await using test = await disk("demo", stall, { path_on_host: image.path });
    const { machine } = test;
    machine.start();
    await until(() => test.events.length > 0, "a read", () => test.output);
    await assert.rejects(
      machine.setFaults("d", {
        rules: [{ on: "send", effect: "short" } as FaultRule],
      }),
      { message: /faults.rules\[0\].effect: short is not for send/ },
    );
    await assert.rejects(machine.setFaults("e", { rules: [] }), {
      message: "this machine has no e",
    });
    await machine.setFaults("d", { rules: [] });
    assert.equal((await machine.wait()).reason, "reset");
    assert.match(test.output, /payload: ok/);
    await using other = await disk("demo", stall, { path_on_host: image.path });
    other.machine.start();
    await until(() => other.events.length > 0, "a read", () => other.output);
    using _snapshot = await other.machine.snapshot();
    assert.equal((await other.machine.stop()).reason, "stopped");
    await using plain = await disk("demo", undefined, {
      path_on_host: image.path,
    });
    await assert.rejects(
      Promise.all([plain.machine.setFaults("d", { rules: [] }), plain.run()]),
      /blk: no such command/,
    );
  },
}));

/** What the payload makes of a network's: how many of 5 pings came back. */
const NET: Record<string, [rule: FaultRule, output: RegExp, words?: string]> = {
  "each fifth frame is lost": [
    { on: "receive", effect: "drop", every: 4 },
    /FAILED|lost|[1-4]\/5|ok/,
    "ping_ms=500",
  ],
  "frames come twice": [{ on: "receive", effect: "duplicate" }, /payload: ok/],
  "frames go twice": [{ on: "send", effect: "duplicate" }, /payload: ok/],
  "frames are late": [
    { on: "send", effect: "delay", delay_ms: 1, jitter_ms: 2 },
    /payload: ok/,
  ],
  "frames come late": [
    { on: "receive", effect: "delay", delay_ms: 1 },
    /payload: ok/,
  ],
  "frames wait for the next": [
    { on: "receive", effect: "reorder" },
    /payload: ok/,
  ],
  "sending fails": [
    { on: "send", effect: "error", nth: 2 },
    /payload: /,
    "ping_ms=500",
  ],
};
Deno.test(needing([KVM], {
  name: "faults: a network's, each by its rule",
  async fn() {
    for (const [what, [rule, output, words = ""]] of Object.entries(NET)) {
      await using test = await TestMachine.create({
        "boot-source": {
          kernel_image_path: await readPayload(),
          boot_args: `demo ip=10.0.0.2 peer=10.0.0.1 pings=5 ${words}`,
        },
        "machine-config": { mem_size_mib: 16 },
        "network-interfaces": [{
          iface_id: "eth0",
          handler: PONG,
          faults: { seed: 7, rules: [rule] },
        }],
      });
      const run = await test.run();
      assert.match(run.output, output, what);
      assert.deepEqual(run.log, [], what);
      assert.ok(test.events.length > 0, what);
      assert.ok(test.events.every(({ device }) => device === "eth0"));
    }
  },
}));

Deno.test(needing([KVM], {
  name:
    "faults: a used ring that is wrong, and a lost interrupt, are events and in the trace",
  async fn() {
    using image = new ScratchFile(1 << 20);
    const drive = { path_on_host: image.path };
    const run = async (words: string, rule: FaultRule) => {
      await using test = await disk(words, { seed: 2, rules: [rule] }, drive);
      const { machine } = test;
      const trace = await machine.traceBatches({ types: ["own"] });
      void machine.pause(); // or the guest ends before it is asked
      machine.start();
      await assert.rejects(
        machine.setFaults("d", { rules: [{ on: "fill", effect: "short" }] }),
        { message: /^faults.rules\[0\].on: d has no fill, but read, write/ },
      );
      await machine.resume();
      await until(() => test.events.length > 0, "a fault", () => test.output);
      await machine.stop();
      const own: unknown[] = [];
      for await (const batch of trace) own.push(...batch);
      const [{ device, name }] = own as [{ device: string; name: string }];
      const { on, effect } = rule;
      assert.deepEqual([device, name], ["d", `fault: ${on} ${effect}`]);
      return faultsOf(test)[0];
    };
    const wrong: FaultRule = { on: "used", effect: "corrupt", nth: 3 };
    assert.deepEqual(await run("demo", wrong), await run("demo", wrong));
    const words = "bench=blk-randread wait=irq ms=5000";
    await run(words, { on: "interrupt", effect: "drop", nth: 2 });
  },
}));

const REFUSED: Record<string, [rules: unknown, message: RegExp]> = {
  "an unknown type": [
    [{ on: "seek", effect: "error" }],
    /drives\[0\].faults.rules\[0\].on: "seek" is not "read" or "write"/,
  ],
  "an unknown effect": [
    [{ on: "read", effect: "explode" }],
    /rules\[0\].effect/,
  ],
  "an effect of others": [
    [{ on: "read", effect: "error" }, { on: "read", effect: "drop" }],
    /rules\[1\].effect: drop is not for read: error, short/,
  ],
  "a network's type": [[{ on: "send", effect: "drop" }], /rules\[0\].on/],
  "a probability above 1": [
    [{ on: "read", effect: "error", probability: 2 }],
    /probability: 2 is not 0 to 1/,
  ],
  "the 0th": [
    [{ on: "read", effect: "error", nth: 0 }],
    /nth: 0 is not 1 or more/,
  ],
  "a delay of never": [
    [{ on: "read", effect: "delay", delay_ms: Infinity }],
    /delay_ms: Infinity/,
  ],
  "an unknown key": [
    [{ on: "read", effect: "error", sector: 1 }],
    /rules\[0\].sector/,
  ],
  "no rules": [undefined, /faults.rules: is missing/],
};
Deno.test("faults: a rule that is none is refused, each by its place", () => {
  for (const [what, [rules, message]] of Object.entries(REFUSED)) {
    const faults = { rules } as FaultPlan;
    const drive = {
      drive_id: "d",
      path_on_host: "/dev/null",
      is_root_device: false,
    };
    assert.throws(() =>
      resolve({
        "boot-source": { kernel_image_path: new Uint8Array() },
        drives: [{ ...drive, faults }],
      }), (error: Error) => {
      assert.match(error.message, message, what);
      return true;
    }, what);
  }
});

Deno.test("faults: a rule of another kind of device is refused, each by its place", () => {
  const of = (...rules: unknown[]) => ({ rules }) as FaultPlan;
  const wrong = of({ on: "used", effect: "stall" }, {
    on: "read",
    effect: "error",
  });
  const cases: [Partial<VmConfig>, string][] = [
    [{ entropy: { faults: wrong } }, "entropy"],
    [{ console: { main: true, faults: wrong } }, "console"],
    [{ vsock: { guest_cid: 3, uds_path: "v", faults: wrong } }, "vsock"],
  ];
  for (const [devices, kind] of cases) {
    assert.throws(
      () =>
        resolve({
          "boot-source": { kernel_image_path: new Uint8Array() },
          ...devices,
        }),
      (error: Error) => {
        const place = `${kind}.faults.rules[1].on: "read" is not "`;
        assert.ok(error.message.startsWith(place), error.message);
        return true;
      },
    );
  }
});
