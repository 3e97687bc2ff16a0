/** Machines that are ready before they are asked for. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { MiB } from "../../guest/layout.ts";
import { heldAgain, heldAtRest } from "../testing/held.ts";
import { ScratchFile, TestMachine } from "../testing/mod.ts";
import {
  lastRecord,
  recorded,
  recording,
  recordingOn,
} from "../testing/records.ts";
import { HI } from "../testing/tiny_guest.ts";

/** Disks for machines of a pool. */
class Disks implements Disposable {
  readonly #files: ScratchFile[] = [];

  another(): ScratchFile {
    const file = new ScratchFile(MiB);
    this.#files.push(file);
    return file;
  }

  [Symbol.dispose](): void {
    for (const file of this.#files) file[Symbol.dispose]();
  }
}

for (const transport of ["mmio", "pci"] as const) {
  Deno.test(needing([KVM], {
    name:
      `MachinePool: machines go on one after the other, and others take their places (${transport})`,
    async fn() {
      using disks = new Disks();
      await using test = await TestMachine.create(
        recording(disks.another().path, { transport }),
      );
      const { machine } = test;
      machine.start();
      await test.printed("journal: 3\n");
      const numbers: number[] = [];
      using snapshot = await machine.snapshot();
      const record = lastRecord(test.output);
      await using pool = await snapshot.pool(2, {
        overrides(n) {
          numbers.push(n);
          return recordingOn(disks.another().path);
        },
      });
      assert.equal(pool.ready, 2);
      for (let i = 0; i < 4; i++) { // more than are ready
        let output = "";
        await using child = await pool.fork({
          onOutput: (bytes) => output += new TextDecoder().decode(bytes),
        });
        assert.equal(child.state, "running");
        await recorded(() => output, record + 3);
        assert.match(output, new RegExp(`: ${record + 2}\n`), "from the start");
      }
      await until(() => pool.ready === 2, "two that wait");
      assert.ok(numbers.length >= 6);
      assert.deepEqual(numbers, [...numbers.keys()]);
    },
  }));
}

Deno.test(needing([KVM], {
  name: "MachinePool: nothing is left of it, and what it can't have is told",
  async fn() {
    const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
    using _dir = {
      [Symbol.dispose]: () => Deno.removeSync(dir, { recursive: true }),
    };
    const whole = async () => {
      await using test = await TestMachine.create({
        "boot-source": { kernel_image_path: HI },
        "machine-config": { mem_size_mib: 8 },
        vsock: { guest_cid: 3, uds_path: `${dir}/vsock` },
      });
      test.machine.start();
      await test.printed("hi");
      using snapshot = await test.machine.snapshot();
      await assert.rejects(snapshot.pool(0), {
        message: "pool: of 0 machines; 1 at least",
      });
      await assert.rejects(snapshot.pool(1), {
        message: "pool: to be given, since each machine has its own: " +
          "vsock: uds_path",
      });
      let names = 0;
      const overrides = (n: number) => ({
        vsock: { uds_path: `${dir}/vsock.${names === 0 ? n : "x"}` } as never,
      });
      const pool = await snapshot.pool(2, { overrides });
      await using child = await pool.fork();
      await until(() => pool.ready === 2, "another one");
      names = 1; // now two want the same
      await using _second = await pool.fork();
      await using _third = await pool.fork();
      await until(() => pool.ready === 1, "the one that can be had");
      await using _fourth = await pool.fork();
      await assert.rejects(pool.fork(), /vsock/);
      await pool[Symbol.asyncDispose]();
      await assert.rejects(pool.fork(), { message: "pool: it is closed" });
      assert.equal(child.state, "running", "what was forked goes on");
    };
    await whole(); // Deno's own are there afterwards
    const held = await heldAtRest(dir);
    await whole();
    await heldAgain(dir, held, "after all are gone");
  },
}));
