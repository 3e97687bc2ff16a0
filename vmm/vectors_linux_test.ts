/**
 * The vector registers of the guest's programs: on a host that emulates kernel
 * mode CPUID tells programs of all that the CPU has, so the kernel must switch
 * all of it, by an XSAVE that KVM refuses.
 */
import assert from "node:assert/strict";
import { C_LIBRARY } from "../ffi/packages.ts";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { CommandLog } from "../images/linux/logged_command.ts";
import { compileProgram } from "../images/linux/program.ts";
import { LINUX } from "../images/testing/prepared.ts";
import { boot } from "./testing/command.ts";

const SECTOR = 512;

Deno.test(needing([KVM, LINUX, "gcc", C_LIBRARY], {
  name: "Linux: two processes keep their vector registers",
  async fn() {
    const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
    try {
      using log = new CommandLog(`${dir}/log`);
      const program = `${dir}/vectors`;
      await compileProgram(log, "vectors.c", program);
      const { size } = Deno.statSync(program);
      Deno.truncateSync(program, Math.ceil(size / SECTOR) * SECTOR);
      const { code, stdout, stderr } = await boot([
        ...["--quiet", "--disk", `${program},ro`, "--exec"],
        "cat /dev/vdb > /tmp/vectors; chmod +x /tmp/vectors; /tmp/vectors",
      ]);
      assert.match(
        stdout,
        /^[XYZ]MM kept$/m,
        `status ${code}: ${stdout}${stderr}`,
      );
      assert.equal(code, 0);
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  },
}));
