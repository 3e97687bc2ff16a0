/** A machine that is saved and goes on elsewhere, over and over, at work. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../../ffi/testing/needs.ts";
import type { VmConfig } from "../../config/types.ts";
import { Machine } from "../../machine.ts";
import { ScratchFile } from "../../testing/mod.ts";
import { recorded, recording } from "../../testing/records.ts";
import { verifyFolder } from "../mod.ts";

const GENERATIONS = 10;
const BLOCK = 4096, BLOCKS = 1024;

/** Block `n` is whole: its words count up from `n`. */
function isWhole(block: DataView, n: number): boolean {
  for (let i = 0; i < BLOCK / 8; i++) {
    if (block.getBigUint64(8 * i, true) !== BigInt(n + i)) return false;
  }
  return true;
}

for (
  const [name, machineConfig, drive] of [
    ["mmio", {}, {}],
    ["pci, O_DIRECT", { transport: "pci" }, { direct: true }],
    ["a file as RAM", { memory_file: true }, { io_engine: "Sync" }],
  ] as const
) {
  Deno.test(needing([KVM], {
    name:
      `snapshots: ${GENERATIONS} machines go on one after the other, no record is lost or doubled (${name})`,
    async fn() {
      const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
      using _dir = {
        [Symbol.dispose]: () => Deno.removeSync(dir, { recursive: true }),
      };
      using disk = new ScratchFile(BLOCK * BLOCKS);
      const machineOf = (n: number) => ({
        mem_size_mib: 16,
        ...machineConfig,
        ..."memory_file" in machineConfig && { memory_file: `${dir}/ram${n}` },
      });
      const config = recording(disk.path) as VmConfig;
      if (name === "mmio") config["boot-source"].boot_args = "journal"; // polls
      let output = "";
      const options = {
        onOutput: (bytes: Uint8Array) =>
          void (output += new TextDecoder().decode(bytes)),
      };
      let goal = 5;
      for (let n = 0; n < GENERATIONS; n++) {
        await using machine = n === 0
          ? await Machine.create({
            ...config,
            "machine-config": machineOf(n),
            drives: [{ ...config.drives![0]!, ...drive }],
          } as VmConfig, options)
          : await Machine.restore(
            `${dir}/saved`,
            { "machine-config": machineOf(n) } as never,
            options,
          );
        machine.start();
        await recorded(() => output, goal);
        goal += 7;
        await machine.pause();
        using snapshot = await machine.snapshot();
        snapshot.save(`${dir}/saved`);
      }
      verifyFolder(`${dir}/saved`);
      const records = output.slice(output.indexOf("journal: 0"));
      const lines = records.split("\n").slice(0, -1);
      assert.deepEqual(lines, lines.map((_, i) => `journal: ${i}`));
      const bytes = Deno.readFileSync(disk.path);
      for (const n of [...lines.keys()].slice(-BLOCKS + 1)) {
        const block = new DataView(bytes.buffer, (n % BLOCKS) * BLOCK, BLOCK);
        assert.ok(isWhole(block, n), `block ${n} was reported`);
      }
    },
  }));
}
