/** gdb's `monitor` commands, on a machine with devices. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { Machine } from "../../vmm/machine.ts";
import { ScratchFile, TestMachine } from "../../vmm/testing/mod.ts";
import { COUNTS } from "../../vmm/testing/tiny_guest.ts";
import { GdbClient } from "./testing/gdb_client.ts";

Deno.test(needing([KVM], {
  name: "gdb: monitor shows devices and queues, saves the machine, dumps it",
  async fn() {
    using disk = new ScratchFile(1 << 20);
    const folder = Deno.makeTempDirSync();
    try {
      await using test = await TestMachine.create({
        "boot-source": { kernel_image_path: COUNTS },
        "machine-config": { mem_size_mib: 16 },
        drives: [{
          ...{ drive_id: "d0", path_on_host: disk.path, is_read_only: true },
          is_root_device: false,
        }],
        entropy: {},
      });
      const { target } = await test.machine.gdb({
        address: { path: `${folder}/gdb` },
      });
      test.machine.start();
      using gdb = await GdbClient.connect(target);
      await gdb.ask("?");
      assert.match(
        await gdb.monitor("devices"),
        /^block "d0" at 0xc0001000, GSI \d+: reset\n.*"entropy" at .*: reset\n$/,
      );
      // No driver has begun: there is no queue in use.
      const [d0, entropy] = (await gdb.monitor("devices")).split("\n");
      assert.equal(await gdb.monitor("queues"), `${d0}\n${entropy}\n`);
      assert.equal(await gdb.monitor("queues d0"), `${d0}\n`);
      assert.match(
        await gdb.monitor("queues d1"),
        /^no device "d1"; there are d0, entropy$/m,
      );
      const saved = `${folder}/saved`;
      assert.equal(
        await gdb.monitor(`snapshot ${saved}`),
        `saved in ${saved}\n`,
      );
      await using twin = await Machine.restore(saved);
      assert.equal((await twin.metrics()).devices[0]!.name, "d0");
      await gdb.monitor(`dump ${folder}/core`);
      assert.ok(Deno.statSync(`${folder}/core`).size > 16 << 20);
      assert.match(
        await gdb.monitor(`dump ${folder}/core`),
        /^core ".*": exists already$/m,
      );
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
}));
