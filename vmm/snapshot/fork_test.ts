/** A machine goes on twice, while it runs. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { descriptorsOfProcess } from "../../ffi/testing/mmap.ts";
import { MiB } from "../../guest/layout.ts";
import type { Machine } from "../machine.ts";
import { heldAgain, heldAtRest } from "../testing/held.ts";
import { ScratchFile, TestMachine } from "../testing/mod.ts";
import {
  lastRecord,
  recorded,
  recording,
  recordingOn,
} from "../testing/records.ts";
import { HI } from "../testing/tiny_guest.ts";
import type { Overrides } from "./mod.ts";

/** A fork, and what it prints. */
async function fork(
  parent: Machine,
  overrides: Overrides,
): Promise<{ child: Machine; output: () => string }> {
  let output = "";
  const child = await parent.fork(overrides, {
    onOutput: (bytes) => output += new TextDecoder().decode(bytes),
  });
  return { child, output: () => output };
}

for (const transport of ["mmio", "pci"] as const) {
  Deno.test(needing([KVM], {
    name:
      `Machine.fork: parent and children go on with disks of their own (${transport})`,
    async fn() {
      {
        using disk = new ScratchFile(MiB);
        await using test = await TestMachine.create(
          recording(disk.path, { transport }),
        );
        const { machine } = test;
        machine.start();
        await test.printed("journal: 3");
        for (let i = 0; i < 3; i++) {
          using other = new ScratchFile(MiB);
          if (i === 2) await machine.pause();
          const before = lastRecord(test.output);
          const { child, output } = await fork(
            machine,
            recordingOn(other.path),
          );
          await using _child = child;
          assert.equal(machine.state, i === 2 ? "paused" : "running");
          if (i === 2) await machine.resume();
          await recorded(output, before + 9);
          await recorded(() => test.output, before + 9);
          // A fork of a fork, which is back where it came from later.
          using third = new ScratchFile(MiB);
          using snapshot = await child.snapshot();
          const there = lastRecord(output());
          const grandchild = await fork(child, recordingOn(third.path));
          await using _grandchild = grandchild.child;
          await recorded(grandchild.output, there + 1);
          await child.reset(snapshot);
        }
        assert.deepEqual(test.log, []);
      }
    },
  }));
}

Deno.test(needing([KVM], {
  name: "Machine.fork: nothing is left of parents, children and snapshots",
  async fn() {
    const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
    using _dir = {
      [Symbol.dispose]: () => Deno.removeSync(dir, { recursive: true }),
    };
    const family = async () => {
      await using test = await TestMachine.create({
        "boot-source": { kernel_image_path: HI },
        "machine-config": { mem_size_mib: 8 },
        entropy: {},
      }, { forkable: true });
      const { machine } = test;
      machine.start();
      await test.printed("hi");
      using snapshot = await machine.snapshot();
      await using child = await machine.fork();
      await using _other = await machine.fork();
      await machine.reset(snapshot);
      await using _third = await child.fork();
      await child.reset(snapshot);
      await assert.rejects(machine.fork({ drives: [{}] } as never), /no/);
    };
    await family(); // Deno's own are there afterwards
    const held = await heldAtRest(dir);
    await family();
    await heldAgain(dir, held, "after all are gone");
    const files = [...descriptorsOfProcess().values()]
      .filter((name) => name.startsWith("/memfd:"));
    assert.deepEqual(files, []);
  },
}));

Deno.test(needing([KVM], {
  name: "Machine.fork: what can't be shared and is missing is one line",
  async fn() {
    const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
    using _dir = {
      [Symbol.dispose]: () => Deno.removeSync(dir, { recursive: true }),
    };
    using disk = new ScratchFile(MiB);
    using shared = new ScratchFile(MiB);
    await using test = await TestMachine.create({
      ...recording(disk.path),
      drives: [
        { drive_id: "d", path_on_host: disk.path, is_root_device: false },
        {
          drive_id: "shared",
          path_on_host: shared.path,
          is_root_device: false,
          is_read_only: true,
        },
      ],
      console: { ports: [{ name: "agent", path: `${dir}/port` }] },
      vsock: { guest_cid: 3, uds_path: `${dir}/vsock` },
    });
    const { machine } = test;
    machine.start();
    await test.printed("journal: 3");
    const refused = (overrides: Overrides, message: string) =>
      assert.rejects(machine.fork(overrides), { name: "VireoError", message });
    const missing = "fork: to be given, since the machine itself has it: ";
    await refused(
      {},
      `${missing}drives d: path_on_host, console ports agent: path, ` +
        "vsock: uds_path",
    );
    using other = new ScratchFile(MiB);
    const vsock = { uds_path: `${dir}/other.vsock` } as Overrides["vsock"];
    await refused(
      { ...recordingOn(other.path), vsock },
      `${missing}console ports agent: path`,
    );
    const all = {
      ...recordingOn(other.path),
      vsock,
      console: { ports: [{ name: "agent", path: `${dir}/other.port` }] },
    };
    await refused(
      { ...all, ...recordingOn(disk.path) },
      `disk "${disk.path}": another machine uses it; add ,ro to both to share it`,
    );
    await using child = await machine.fork(all);
    assert.equal(child.state, "starting");
    assert.equal(machine.state, "running");
  },
}));
