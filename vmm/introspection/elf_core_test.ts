/** A machine as an ELF core. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { TestMachine } from "../testing/mod.ts";
import { COUNTS } from "../testing/tiny_guest.ts";
import { type MappedRun, mappedRuns } from "./mapped_runs.ts";
import type { MachineView } from "./machine_view.ts";

const MIB = 1 << 20;
const CODE = 0x10_0000;

interface Header {
  type: number;
  offset: number;
  linear: bigint;
  physical: number;
  size: number;
}

/** The program headers of a 64-bit core. */
function headersOf(core: Uint8Array): Header[] {
  const view = new DataView(core.buffer);
  assert.equal(view.getUint32(0), 0x7f454c46);
  assert.deepEqual([view.getUint16(16, true), view.getUint16(18, true)], [
    4,
    62,
  ]);
  return Array.from({ length: view.getUint16(56, true) }, (_, i) => {
    const at = 64 + 56 * i;
    const long = (offset: number) => view.getBigUint64(at + offset, true);
    return {
      type: view.getUint32(at, true),
      offset: Number(long(8)),
      linear: long(16),
      physical: Number(long(24)),
      size: Number(long(32)),
    };
  });
}

Deno.test(needing([KVM], {
  name: "core: memory where the guest has it, and the registers of each vCPU",
  async fn() {
    const folder = Deno.makeTempDirSync();
    const path = `${folder}/core`;
    try {
      await using test = await TestMachine.create({
        "boot-source": { kernel_image_path: COUNTS },
        "machine-config": { mem_size_mib: 16, vcpu_count: 2 },
      });
      const { machine } = test;
      machine.start();
      await until(() => test.output.length > 0, "output");
      await machine.pause();
      const [rip, code] = await machine.introspect(({ vcpus, memory }) => [
        vcpus[0]!.registers.rip,
        memory.bytes(CODE, 16).slice(),
      ]);
      await machine.dump(path);
      assert.equal(machine.state, "paused");
      const { mode, size, blocks } = Deno.statSync(path);
      assert.equal(mode! & 0o777, 0o600);
      assert.ok(size > 16 * MIB && blocks! * 512 < MIB, `${blocks} blocks`);

      const core = Deno.readFileSync(path);
      const [notes, ...loads] = headersOf(core);
      assert.equal(notes?.type, 4);
      // Boot's tables map the first 4 GiB to themselves; RAM is in there once.
      assert.deepEqual(loads.map(({ offset: _, ...rest }) => rest), [
        { type: 1, linear: 0n, physical: 0, size: 16 * MIB },
      ]);
      const at = loads[0]!.offset + CODE;
      assert.deepEqual(core.slice(at, at + 16), code);
      const first = new DataView(core.buffer, notes.offset);
      assert.equal(first.getUint32(8, true), 1, "NT_PRSTATUS");
      const prstatus = 20;
      assert.equal(first.getUint32(prstatus + 32, true), 1, "the first thread");
      assert.equal(first.getBigUint64(prstatus + 112 + 16 * 8, true), rip);

      const again = machine.dump(path);
      await assert.rejects(again, {
        message: `core "${path}": exists already`,
      });
      await assert.rejects(
        machine.dump(`${folder}/no/core`),
        /^VireoError: core /,
      );
      await machine.resume();
      const before = test.output.length;
      await until(() => test.output.length > before, "more output");
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
}));

Deno.test(needing([KVM], {
  name:
    "core: page tables that are a loop, or lead nowhere, give a core all the same",
  async fn() {
    await using test = await TestMachine.create({
      "boot-source": { kernel_image_path: COUNTS },
      "machine-config": { mem_size_mib: 16 },
    });
    test.machine.start();
    await until(() => test.output.length > 0, "output");
    const covers = (runs: MappedRun[]) => {
      assert.ok(runs.length <= 0xfff8, `${runs.length}`);
      for (const { physical, size } of runs) {
        assert.ok(size > 0 && physical + size <= 16 * MIB);
      }
    };
    await test.machine.introspect((view: MachineView) => {
      const root = 0x20_0000;
      const special = view.vcpus[0]!.special;
      special.setControl("cr3", BigInt(root));
      const lying = {
        memory: view.memory,
        vcpus: [{ special }],
      } as unknown as MachineView;
      const table = view.memory.view(root, 4096);
      for (let i = 0; i < 512; i++) {
        table.setBigUint64(8 * i, BigInt(root) | 7n, true);
      }
      covers(mappedRuns(lying)); // each entry is the table itself
      for (let i = 0; i < 512; i++) {
        table.setBigUint64(8 * i, 0x000f_ffff_ffff_f007n, true);
      }
      const runs = mappedRuns(lying);
      assert.deepEqual(runs, [{ linear: 0n, physical: 0, size: 16 * MIB }]);
      special.setControl("cr3", 0x000f_ffff_ffff_f000n);
      assert.deepEqual(mappedRuns(lying), runs);
    });
  },
}));
