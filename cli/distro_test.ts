/**
 * A stock kernel's first lines. Its whole boot is minutes of work where KVM
 * emulates guest kernel mode; docs/performance.md has what it prints there.
 */
import assert from "node:assert/strict";
import { prepareDebian } from "../images/distro/debian.ts";
import { KernelCommandLine } from "../guest/boot/cmdline.ts";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { APT } from "../images/testing/distro.ts";
import { stockCmdline } from "./kernel_quirks.ts";
import { cacheFolder } from "../images/linux/cache.ts";
import { knownHost } from "../probe/known_host.ts";
import { TestMachine } from "../vmm/testing/mod.ts";

Deno.test(needing([KVM, APT, "xz"], {
  name: "Debian's own kernel starts",
  async fn() {
    const none = new KernelCommandLine("");
    const words = stockCmdline(await knownHost(cacheFolder()), none).join(
      " ",
    );
    const { kernel, initrd } = await prepareDebian();
    await using test = await TestMachine.create({
      "boot-source": {
        kernel_image_path: kernel,
        initrd_path: initrd,
        boot_args: `console=ttyS0 earlyprintk=ttyS0 ${words}`,
      },
      "machine-config": { mem_size_mib: 128 },
    });
    test.machine.start();
    await test.printed("Hypervisor detected: KVM");
    assert.match(test.output, /Linux version \d\S+-cloud-amd64 /);
    assert.match(
      test.output,
      /BIOS-e820: \[mem 0x0+100000-0x0+7ffffff\] usable/,
    );
    const end = await test.machine.stop();
    assert.equal(end.reason, "stopped", end.message);
  },
}));
