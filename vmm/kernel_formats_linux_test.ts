/** Linux in every format that it is built in, from file to shell. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { inspectKernel } from "../guest/kernel/inspect.ts";
import {
  type Compression,
  prepared,
  preparedAll,
} from "../images/linux/prepare.ts";
import { ALL_KERNELS, LINUX } from "../images/testing/prepared.ts";
import { execWord, makeNonce } from "../cli/exec.ts";
import { DEFAULT_BOOT_ARGS } from "./config/boot_args.ts";
import { boot } from "./testing/command.ts";
import { ScratchFile, TestMachine } from "./testing/mod.ts";

/** An archive (cpio, "newc") with nothing in it but its trailer. */
const EMPTY_CPIO = "070701" + "0".repeat(8 * 11) + "0000000b" +
  "00000000" + "TRAILER!!!\0";

Deno.test(needing([KVM, LINUX], {
  name: "Linux: vmlinux by PVH, with an initrd",
  async fn() {
    const { kernel } = (await prepared())!;
    using initrd = new ScratchFile(0);
    Deno.writeTextFileSync(initrd.path, EMPTY_CPIO.padEnd(512, "\0"));
    const { code, stdout, stderr } = await boot([
      ...[kernel, "--entry", "pvh", "--initrd", initrd.path],
      ...["--root", "busybox", "--exec", "echo ok; uname -r"],
    ]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^ok\n.*-vireo\n$/, stderr);
    // Only hvm_start_info can have said where it is.
    assert.match(stderr, /RAMDISK: \[mem 0x03fff000-0x03ffffff\]/);
  },
}));

Deno.test(needing([KVM, ALL_KERNELS, "xz"], {
  name: "Linux: bzImages packed with gzip, xz, lz4 and zstd",
  async fn(t) {
    const { bzImages, rootfs } = (await preparedAll())!;
    const formats = Object.keys(bzImages) as Compression[];
    assert.deepEqual(formats.toSorted(), ["gzip", "lz4", "xz", "zstd"]);
    for (const format of formats) {
      const report = await inspectKernel(bzImages[format]);
      assert.deepEqual(report.unpacked, [format]);
      assert.equal(report.config?.["virtio-mmio"], "built in");
    }
    // The others boot to their shells for tests of the full kernel: xz in
    // queues_linux_test.ts, lz4 in linux_devices_test.ts, zstd in
    // acpi_linux_test.ts.
    await using test = await TestMachine.create({
      "boot-source": {
        kernel_image_path: bzImages.gzip,
        boot_args: `${DEFAULT_BOOT_ARGS} quiet VIREO_NONCE=${makeNonce()} ` +
          execWord(`uname -r
            until grep 'AT Raw Set 2' /proc/bus/input/devices; do sleep 1; done
            echo for keys; sleep 9999`),
      },
      "machine-config": { mem_size_mib: 64, acpi: "off" },
      drives: [{
        drive_id: "root",
        path_on_host: rootfs,
        ...{ is_root_device: true, is_read_only: true },
      }],
    });
    test.machine.start();
    await test.printed("for keys\n");
    assert.match(test.output, /-vireo-full\n/);
    await t.step("without ACPI, Ctrl+Alt+Del: init restarts it", async () => {
      test.machine.ctrlAltDelete();
      assert.equal((await test.machine.wait()).reason, "reset");
    });
  },
}));
