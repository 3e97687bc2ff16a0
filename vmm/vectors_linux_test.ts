/**
 * The vector registers of the guest's programs: on a host that emulates kernel
 * mode CPUID tells programs of all that the CPU has, so the kernel must switch
 * all of it, by an XSAVE that KVM refuses.
 */
import assert from "node:assert/strict";
import { CommandLog } from "../images/linux/logged_command.ts";
import { compileProgram } from "../images/linux/program.ts";
import { compilerVersion } from "../images/payload/build.ts";
import { boot, linuxMissing } from "./testing/command.ts";

const SECTOR = 512;

const missing = await compilerVersion() === null
  ? " [no gcc]"
  : await linuxMissing();

Deno.test({
  name: "Linux: two processes keep their vector registers" + missing,
  ignore: missing !== "",
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
      assert.match(stdout, /^[XYZ]MM kept$/m, stdout + stderr);
      assert.equal(code, 0);
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  },
});
