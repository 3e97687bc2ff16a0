/**
 * Debian's memtest86+, a kernel that is none of Linux's: a bzImage whose own
 * code uses x87 at CPL0.
 */
import assert from "node:assert/strict";
import { Apt } from "../guest/distro/apt.ts";
import { runBinary } from "../guest/distro/run_binary.ts";
import { CommandLog } from "../guest/linux/logged_command.ts";
import { canOpenKvm, KVM_MISSING } from "../guest/testing.ts";
import { TestMachine } from "./testing.ts";

/** Unpacks the package into `dir`, and returns the 64-bit program's path. */
async function fetchMemtest(dir: string): Promise<string> {
  using log = new CommandLog(`${dir}/log`);
  const apt = new Apt(dir, log);
  const deb = await apt.download(await apt.show("memtest86+"), dir);
  await runBinary("dpkg-deb", ["-x", deb, dir]);
  return `${dir}/boot/memtest86+x64.bin`;
}

Deno.test({
  name: `memtest86+ tests the guest's memory${KVM_MISSING}`,
  ignore: !canOpenKvm(),
  fn: async () => {
    const dir = await Deno.makeTempDir({ prefix: "vireo-test-" });
    try {
      const path = await fetchMemtest(dir);
      await using test = await TestMachine.create({
        "boot-source": {
          kernel_image_path: path,
          boot_args: "console=ttyS0,115200 nosmp",
        },
        "machine-config": { mem_size_mib: 16 },
      });
      test.machine.start();
      await test.printed("Status: Testing");
      await test.printed("Address test");
      assert.match(test.output, /Memtest86\+ v\d/);
      const end = await test.machine.stop();
      assert.equal(end.reason, "stopped", end.message);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
});
