/** Linux in every format that it is built in, from file to shell. */
import assert from "node:assert/strict";
import { inspectKernel } from "../guest/kernel/inspect.ts";
import { prepareAll } from "../images/linux/prepare.ts";
import { boot, linuxMissing, type VireoResult } from "./testing/command.ts";
import { ScratchFile } from "./testing/mod.ts";

const missing = await linuxMissing();

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

Deno.test({
  name: "Linux: vmlinux, by its 64-bit entry and by PVH with an initrd" +
    missing,
  ignore: missing !== "",
  async fn() {
    const { kernels } = await prepareAll();
    using initrd = new ScratchFile(0);
    Deno.writeTextFileSync(initrd.path, EMPTY_CPIO.padEnd(512, "\0"));
    const [vmlinux, pvh] = await Promise.all([
      echo(kernels.small, "--entry", "vmlinux"),
      echo(kernels.small, "--entry", "pvh", "--initrd", initrd.path),
    ]);
    assertEchoed(vmlinux, /-vireo\n$/);
    assertEchoed(pvh, /-vireo\n$/);
    // Only hvm_start_info can have said where it is.
    assert.match(pvh.stderr, /RAMDISK: \[mem 0x03fff000-0x03ffffff\]/);
    assert.doesNotMatch(vmlinux.stderr, /RAMDISK/);
  },
});

Deno.test({
  name: "Linux: bzImages packed with gzip, xz, lz4 and zstd" + missing,
  ignore: missing !== "",
  async fn() {
    const { bzImages } = await prepareAll();
    const formats = Object.keys(bzImages) as (keyof typeof bzImages)[];
    assert.deepEqual(formats.toSorted(), ["gzip", "lz4", "xz", "zstd"]);
    for (const format of formats) {
      const report = await inspectKernel(bzImages[format]);
      assert.deepEqual(report.unpacked, [format]);
      assert.equal(report.config?.["virtio-mmio"], "built in");
      assertEchoed(await echo(bzImages[format]), /-vireo-full\n$/);
    }
  },
});
