/** `vireo gdb`: the real one, on a machine of another process. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { startVireo, vireo } from "../../vmm/testing/command.ts";
import { Running } from "../../vmm/testing/running.ts";
import { COUNTS } from "../../vmm/testing/tiny_guest.ts";

Deno.test(needing([KVM, "gdb"], {
  name:
    "vireo gdb: attaches to a machine by its name, twice, and lets it go on",
  async fn() {
    const name = `gdb-${Deno.pid}`;
    await using running = new Running({
      kernel: COUNTS,
      args: ["--name", name],
    });
    const listed = async () => (await vireo(["ps"])).stdout.includes(name);
    await until(listed, name, () => running.lines);
    for (let round = 0; round < 2; round++) {
      const gdb = startVireo(["gdb", name], {}, "piped");
      const writer = gdb.stdin.getWriter();
      const commands =
        "set confirm off\nhbreak *0x100004\ncontinue\nx/i $pc\n" +
        "info threads\ndetach\nquit\n";
      await writer.write(new TextEncoder().encode(commands));
      await writer.close();
      const { code, stdout, stderr } = await gdb.output();
      const said = new TextDecoder().decode(stdout) +
        new TextDecoder().decode(stderr);
      assert.equal(code, 0, said);
      assert.match(said, /^Breakpoint 1, 0x0*100004 in /m);
      assert.match(said, /=> 0x100004:\s+inc +%al/);
      assert.match(said, /\* 1 +Thread 1 \(vCPU 0: kernel\)/);
      const before = running.stdout;
      await running.until(() => running.stdout !== before, "more output");
    }
    assert.deepEqual(running.lines, []);
    await running.endBy("SIGTERM");
  },
}));
