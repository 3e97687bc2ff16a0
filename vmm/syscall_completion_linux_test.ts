/** Programs under Linux with every SYSCALL carried, where KVM leaves them half done. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { prepared } from "../images/linux/prepare.ts";
import { LINUX } from "../images/testing/prepared.ts";
import { DEFAULT_BOOT_ARGS } from "./config/boot_args.ts";
import { execWord } from "../cli/exec.ts";
import { cacheFolder } from "../images/linux/cache.ts";
import { knownHost } from "../probe/known_host.ts";
import { runMachine } from "./testing/mod.ts";

Deno.test(needing([KVM, LINUX], {
  name: "carry_syscalls: a shell and its programs run",
  async fn() {
    const { kernel, rootfs } = (await prepared())!;
    const commands = "for i in 1 2 3; do echo $((i * 7)); done; id -u";
    const { end, output } = await runMachine({
      "boot-source": {
        kernel_image_path: kernel,
        boot_args: `${DEFAULT_BOOT_ARGS} quiet ${execWord(commands)}`,
      },
      "machine-config": { mem_size_mib: 64, carry_syscalls: true },
      drives: [{
        drive_id: "root",
        path_on_host: rootfs,
        is_root_device: true,
        is_read_only: true,
      }],
    });
    assert.match(output.replaceAll("\r", ""), /7\n14\n21\n0\n/);
    assert.equal(end.reason, "power-off");
    // On VT-x and AMD-V SYSCALL needs no help.
    const { emulatesKernel } = await knownHost(cacheFolder());
    const carried = end.stepped_past?.SYSCALL ?? 0;
    assert.equal(carried > 20, emulatesKernel, `${carried} carried`);
  },
}));
