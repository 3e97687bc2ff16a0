/** A machine goes back to a snapshot, in its place. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { MiB } from "../../guest/layout.ts";
import type { VmConfig } from "../config/types.ts";
import { Machine } from "../machine.ts";
import { ScratchFile, TestMachine } from "../testing/mod.ts";
import { lastRecord, recorded, recording } from "../testing/records.ts";
import { COUNTS, ECHOES, HI } from "../testing/tiny_guest.ts";

const RESETS = 8;

for (const transport of ["mmio", "pci"] as const) {
  Deno.test(needing([KVM], {
    name:
      `Machine.reset: ${RESETS} times in a row, a disk in flight, the same is printed (${transport})`,
    async fn() {
      using disk = new ScratchFile(MiB);
      await using test = await TestMachine.create({
        ...recording(disk.path, { transport }),
        entropy: {},
      });
      const { machine } = test;
      machine.start();
      await test.printed("journal: 3\n");
      using snapshot = await machine.snapshot();
      const record = lastRecord(test.output);
      const end = `journal: ${record + 5}\n`;
      const outputs: string[] = [];
      for (let i = 0; i < RESETS; i++) {
        await recorded(() => test.output, record + 9);
        if (i % 2 === 0) await machine.pause();
        const { state } = machine;
        await machine.reset(snapshot);
        assert.equal(machine.state, state, "as it was");
        test.clear();
        if (state === "paused") await machine.resume();
        await recorded(() => test.output, record + 5);
        outputs.push(test.output.slice(0, test.output.indexOf(end)));
      }
      assert.deepEqual(outputs, outputs.map(() => outputs[0]));
      assert.match(outputs[0]!, new RegExp(`: ${record + 4}\n`));
      assert.deepEqual(test.log, []);
    },
  }));
}

Deno.test(needing([KVM], {
  name:
    "Machine.reset: a vCPU whose output nobody takes prints none of it afterwards",
  async fn() {
    let held: PromiseWithResolvers<void> | undefined;
    let output: number[] = [];
    const onOutput = (bytes: Uint8Array) => {
      output.push(...bytes);
      return held?.promise;
    };
    const config = { "boot-source": { kernel_image_path: COUNTS } };
    await using machine = await Machine.create(config, { onOutput });
    machine.start();
    await until(() => output.length > 100, "output", () => `${output.length}`);
    using snapshot = await machine.snapshot();
    const firsts: number[] = [];
    for (let i = 0; i < 4; i++) {
      held = Promise.withResolvers();
      let exits = -1; // once they stay the same, the vCPU waits for room
      await until(
        () => {
          const before = exits;
          exits = machine.exits;
          return before === exits;
        },
        "a full ring",
        () => `${exits} exits`,
      );
      await machine.reset(snapshot);
      output = [];
      held.resolve();
      held = undefined;
      await until(
        () => output.length > 300,
        "output",
        () => `${output.length}`,
      );
      firsts.push(output[0]!);
      output.forEach((byte, at) =>
        assert.equal(byte, (output[0]! + at) & 0xff, `${i}: byte ${at}`)
      );
    }
    assert.deepEqual(firsts, firsts.map(() => firsts[0]));
  },
}));

for (const console of ["serial", "virtio"]) {
  Deno.test(needing([KVM], {
    name:
      `Machine.reset: input that the guest has not read is dropped (${console})`,
    async fn() {
      await using test = await TestMachine.create({
        "boot-source": { kernel_image_path: ECHOES },
        ...(console === "virtio" && { console: { main: true } }),
      });
      const { machine } = test;
      machine.start();
      await test.printed("hi\n"); // or its end comes after each reset
      using snapshot = await machine.snapshot();
      const room = machine.input(new Uint8Array(200_000).fill(0x61));
      if (console === "virtio") assert.ok(room, "the guest reads none of it");
      await machine.reset(snapshot);
      await room;
      test.clear();
      if (console === "virtio") {
        assert.equal(machine.input(new Uint8Array(60_000)), undefined);
        return;
      }
      machine.input(new TextEncoder().encode("xyz"));
      await test.printed("z");
      assert.equal(test.output, "xyz");
    },
  }));
}

Deno.test(needing([KVM], {
  name:
    "Machine.reset: before the start, after the end and to another machine's state it is refused",
  async fn() {
    const config = (vcpu_count: number, mem_size_mib = 8): VmConfig => ({
      "boot-source": { kernel_image_path: HI },
      "machine-config": { vcpu_count, mem_size_mib },
    });
    await using one = await TestMachine.create(config(1));
    one.machine.start();
    using snapshot = await one.machine.snapshot();
    await using created = await Machine.create(config(1));
    await assert.rejects(created.reset(snapshot), {
      name: "VireoError",
      message: "reset: the machine is created",
    });
    await created.stop();
    await assert.rejects(created.reset(snapshot), {
      message: "reset: the machine is ended",
    });
    for (
      const [other, message] of [
        [config(2), "snapshot: saved with other vCPUs or devices"],
        [
          config(1, 16),
          "snapshot: its memory is not the machine's in size",
        ],
      ] as const
    ) {
      await using machine = await Machine.create(other);
      machine.start();
      await machine.pause();
      await assert.rejects(machine.reset(snapshot), { message });
      assert.equal(machine.state, "paused");
      await machine.resume();
      assert.equal(machine.state, "running");
    }
    const broken = { ...snapshot.state.vm, pit: new Uint8Array(3) };
    const state = { ...snapshot.state, vm: { ...broken, irqchips: [] } };
    Object.assign(state.platform, { rtc: new Uint8Array(1) });
    const hostile = Object.assign(
      Object.create(Object.getPrototypeOf(snapshot)),
      { state, memory: snapshot.memory },
    );
    await assert.rejects(
      one.machine.reset(hostile),
      /platform.rtc has 1 bytes/,
    );
    assert.equal((await one.machine.wait()).reason, "stopped");
  },
}));

Deno.test(needing([KVM], {
  name: "Machine.reset: pauses, resumes and stops meanwhile come in their turn",
  async fn() {
    await using test = await TestMachine.create({
      "boot-source": { kernel_image_path: HI },
      "machine-config": { mem_size_mib: 8 },
    });
    const { machine } = test;
    machine.start();
    await test.printed("hi");
    using snapshot = await machine.snapshot();
    const all = [
      machine.reset(snapshot),
      machine.pause(),
      machine.reset(snapshot),
      machine.resume(),
      machine.reset(snapshot),
    ];
    await Promise.all(all);
    assert.equal(machine.state, "running");
    const last = machine.reset(snapshot).then(() => "done", (error) => {
      assert.match(error.message, /the machine is (ending|ended)|has ended/);
      return "refused";
    });
    assert.equal((await machine.stop()).reason, "stopped");
    assert.match(await last, /done|refused/);
  },
}));
