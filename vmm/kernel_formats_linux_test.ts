/** Linux in every format that it is built in, from file to shell. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { inspectKernel } from "../guest/kernel/inspect.ts";
import { prepared, preparedAll } from "../images/linux/prepare.ts";
import { ALL_KERNELS, LINUX } from "../images/testing/prepared.ts";
import { boot, type VireoResult } from "./testing/command.ts";
import { ScratchFile } from "./testing/mod.ts";

/** Boots `kernel` to a shell that says so. */
function echo(kernel: string, ...args: string[]): Promise<VireoResult> {
  const root = ["--root", "busybox", "--exec", "echo ok; uname -r"];
  return boot([kernel, ...root, ...args]);
}

function assertEchoed(result: VireoResult, release: RegExp): void {
  assert.equal(result.code, 0, result.stderr);
  assert.match(result.stdout, /^ok\n/, result.stderr);
  assert.match(result.stdout, release);
}

/** An archive (cpio, "newc") with nothing in it but its trailer. */
const EMPTY_CPIO = "070701" + "0".repeat(8 * 11) + "0000000b" +
  "00000000" + "TRAILER!!!\0";

Deno.test(needing([KVM, LINUX], {
  name: "Linux: vmlinux, by its 64-bit entry and by PVH with an initrd",
  async fn() {
    const { kernel } = (await prepared())!;
    using initrd = new ScratchFile(0);
    Deno.writeTextFileSync(initrd.path, EMPTY_CPIO.padEnd(512, "\0"));
    const [vmlinux, pvh] = await Promise.all([
      echo(kernel, "--entry", "vmlinux"),
      echo(kernel, "--entry", "pvh", "--initrd", initrd.path),
    ]);
    assertEchoed(vmlinux, /-vireo\n$/);
    assertEchoed(pvh, /-vireo\n$/);
    // Only hvm_start_info can have said where it is.
    assert.match(pvh.stderr, /RAMDISK: \[mem 0x03fff000-0x03ffffff\]/);
    assert.doesNotMatch(vmlinux.stderr, /RAMDISK/);
  },
}));

Deno.test(needing([KVM, ALL_KERNELS, "xz"], {
  name: "Linux: bzImages packed with gzip, xz, lz4 and zstd",
  async fn() {
    const { bzImages } = (await preparedAll())!;
    const formats = Object.keys(bzImages) as (keyof typeof bzImages)[];
    assert.deepEqual(formats.toSorted(), ["gzip", "lz4", "xz", "zstd"]);
    for (const format of formats) {
      const report = await inspectKernel(bzImages[format]);
      assert.deepEqual(report.unpacked, [format]);
      assert.equal(report.config?.["virtio-mmio"], "built in");
      assertEchoed(await echo(bzImages[format]), /-vireo-full\n$/);
    }
  },
}));
