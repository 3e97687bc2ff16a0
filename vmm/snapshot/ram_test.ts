/** What RAM can be made of, in all that is done with a snapshot. */
import assert from "node:assert/strict";
import { KVM, type Need, needing } from "../../ffi/testing/needs.ts";
import { MiB } from "../../guest/layout.ts";
import { HugePages, POOL_SIZE } from "../../guest/testing/huge_pages.ts";
import type { VmConfig } from "../config/types.ts";
import { Machine } from "../machine.ts";
import type { MachineOptions } from "../machine_options.ts";
import { ScratchFile, TestMachine } from "../testing/mod.ts";
import {
  lastRecord,
  recorded,
  recording,
  recordingOn,
} from "../testing/records.ts";
import type { Overrides, Snapshot } from "./mod.ts";

/** Where other programs could see the RAM. */
const FILE = `/dev/shm/vireo-test-${crypto.randomUUID()}`;

/** Each kind of RAM. */
const KINDS: [string, VmConfig["machine-config"], Need[], MachineOptions?][] = [
  ["a file without a name", {}, [], { forkable: true }],
  ["transparent huge pages", { huge_pages: "Transparent" }, []],
  ["a file", { memory_file: FILE }, []],
  ["the pool of huge pages", { huge_pages: "2M" }, [POOL_SIZE]],
];

/** A machine that has run leaves its memory's file. */
function removeFiles(): void {
  for (const path of [FILE, `${FILE}.restored`]) {
    try {
      Deno.removeSync(path);
    } catch { /* it was not made */ }
  }
}

for (const [kind, machineConfig, needs, options] of KINDS) {
  Deno.test(needing([KVM, ...needs], {
    name: `snapshots of RAM in ${kind}: reset, forked, restored`,
    async fn() {
      using _files = { [Symbol.dispose]: removeFiles };
      using _pages = needs.length > 0 ? new HugePages(24) : undefined;
      using disk = new ScratchFile(MiB);
      await using test = await TestMachine.create(
        recording(disk.path, machineConfig),
        options,
      );
      const { machine } = test;
      machine.start();
      await test.printed("journal: 3\n");
      using snapshot = await machine.snapshot({ base: true });
      const record = lastRecord(test.output);
      for (let i = 0; i < 3; i++) {
        await recorded(() => test.output, record + 6);
        await machine.reset(snapshot);
        test.clear();
        await recorded(() => test.output, record + 5);
        assert.match(test.output, new RegExp(`: ${record + 3}\n`));
      }
      const goesOn = async (
        make: (
          overrides: Overrides,
          options: { onOutput(bytes: Uint8Array): void },
        ) => Promise<Machine>,
        more: VmConfig["machine-config"] = {},
      ) => {
        using other = new ScratchFile(MiB);
        let output = "";
        const overrides = {
          ...recordingOn(other.path),
          "machine-config": more,
        };
        await using made = await make(overrides, {
          onOutput: (bytes) => output += new TextDecoder().decode(bytes),
        });
        if (made.state === "created") made.start();
        await recorded(() => output, record + 3);
      };
      const restore = (
        overrides: Overrides,
        options: { onOutput(bytes: Uint8Array): void },
      ) => Machine.restore(snapshot, overrides, options);
      await goesOn((...args) => machine.fork(...args));
      await goesOn(restore, {
        memory_file: `${FILE}.restored`,
        huge_pages: "None",
      });
      if (machineConfig?.memory_file === undefined) await goesOn(restore);
      await refusesPages(snapshot, machineConfig);
      await goesOn(async (overrides, options) => {
        const own = { overrides: () => overrides };
        await using pool = await snapshot.pool(1, own);
        return await pool.fork(options);
      });
    },
  }));
}

/** RAM that comes page by page has to be the process's own. */
async function refusesPages(
  snapshot: Snapshot,
  { memory_file, huge_pages }: NonNullable<VmConfig["machine-config"]> = {},
): Promise<void> {
  if (memory_file === undefined && huge_pages !== "2M") return;
  using other = new ScratchFile(MiB);
  const overrides = {
    ...recordingOn(other.path),
    "machine-config": memory_file ? { memory_file: `${FILE}.restored` } : {},
  };
  const pages = { module: import.meta.url };
  await assert.rejects(Machine.restore(snapshot, overrides, { pages }), {
    name: "VireoError",
    message: "memory on demand: not with memory_file or huge pages of the pool",
  });
}
