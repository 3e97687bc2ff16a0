import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { inspectKernel } from "./inspect.ts";
import { formatReport } from "./inspect_text.ts";
import { KernelError } from "./error.ts";
import { buildElf, buildNote, TestSegmentType } from "../testing/mod.ts";
import {
  buildBzImage,
  pack,
  TEST_VERSION,
  withSize,
} from "../testing/bzimage.ts";
import { needing } from "../../ffi/testing/needs.ts";

const CONFIG = `CONFIG_SMP=y
CONFIG_VIRTIO_BLK=m
# CONFIG_VIRTIO_NET is not set
CONFIG_LOCALVERSION="y"
CONFIG_VIRTIO_MMIO=y
`;

/** A kernel with a banner, and with its configuration when there is one. */
function linux(config?: string): Uint8Array<ArrayBuffer> {
  const encoder = new TextEncoder();
  const banner = encoder.encode(
    "Linux version 6.1.0-a (me@here) # SMP\n\0" +
      "Linux version 6.1.0-a (me@here) #1 SMP\n\0",
  );
  const embedded = config === undefined ? [] : [
    ...encoder.encode("IKCFG_ST"),
    ...gzipSync(config),
    ...encoder.encode("IKCFG_ED"),
  ];
  // Its configuration lies across the border of two pieces that are read.
  const bytes = new Uint8Array((1 << 20) + 1000);
  bytes.set(banner, 100);
  bytes.set(embedded, (1 << 20) - 4);
  return buildElf({
    segments: [
      { address: 0x100_0000n, bytes, memorySize: 0x20_0000n },
      {
        type: TestSegmentType.NOTE,
        bytes: buildNote("Xen", 18, new Uint8Array([4, 0, 0, 1])),
      },
    ],
  });
}

Deno.test("inspect: a vmlinux with its configuration inside", async () => {
  const file = linux(CONFIG);
  const report = await inspectKernel(file);
  assert.equal(report.format, "vmlinux");
  assert.equal(report.version, "6.1.0-a (me@here) #1 SMP");
  assert.equal(report.entry, "vmlinux");
  assert.deepEqual(report.elf, {
    bits: 64,
    size: file.length,
    entry: 0x100_0000,
    pvhEntry: 0x100_0004,
    lowest: 0x100_0000,
    end: 0x120_0000,
  });
  assert.equal(report.configSource, "embedded");
  assert.equal(report.config?.SMP, "built in");
  assert.equal(report.config?.["virtio-blk"], "module");
  assert.equal(report.config?.["virtio-net"], "absent");
  const text = formatReport(report);
  assert.match(text, /^boots +at its 64-bit entry \(vmlinux\)$/m);
  assert.match(text, /^PVH entry +0x1000004$/m);
  assert.match(text, /^ {2}virtio-blk +module$/m);
});

Deno.test(needing(["lz4"], {
  name:
    "inspect: a bzImage says what is in its header, and what is in its payload",
  async fn() {
    const elf = linux(CONFIG);
    const payload = withSize(await pack(elf, "lz4"), "lz4", elf.length);
    const report = await inspectKernel(buildBzImage({ payload }));
    assert.equal(report.format, "bzImage");
    assert.deepEqual(report.unpacked, ["lz4"]);
    assert.equal(report.bzImage?.protocol, "2.15");
    assert.deepEqual(report.bzImage?.xloadflags, ["KERNEL_64"]);
    assert.equal(report.bzImage?.payload_length, payload.length);
    assert.equal(report.version, "6.1.0-a (me@here) #1 SMP");
    assert.equal(report.elf?.size, elf.length);
    assert.equal(report.config?.["virtio-mmio"], "built in");
    assert.match(formatReport(report), /^format +bzImage, lz4, \d+ bytes$/m);
  },
}));

Deno.test("inspect: a bzImage that unpacks itself says its version in its header", async () => {
  const report = await inspectKernel(buildBzImage());
  assert.equal(report.entry, "bzimage");
  assert.equal(report.version, TEST_VERSION);
  assert.equal(report.elf, undefined);
});

Deno.test("inspect: a configuration file beside the kernel is found by its version", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const path = `${directory}/vmlinux.gz`;
    Deno.writeFileSync(path, gzipSync(linux()));
    assert.equal((await inspectKernel(path)).config, undefined);
    Deno.writeTextFileSync(`${directory}/config-6.1.0-a`, CONFIG);
    const report = await inspectKernel(path);
    assert.equal(report.configSource, `${directory}/config-6.1.0-a`);
    assert.equal(report.config?.SMP, "built in");
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("inspect: a bzImage that can't be booted is described, with the reason", async () => {
  const report = await inspectKernel(
    buildBzImage({ fields: { 0x236: [2, 0n] } }),
  );
  assert.equal(report.entry, undefined);
  assert.equal(report.version, TEST_VERSION);
  assert.match(report.refusal!, /^is a 32-bit kernel/);
  assert.match(formatReport(report), /^boots +no: is a 32-bit kernel/m);
});

Deno.test("inspect: what is no kernel is an error", async () => {
  await assert.rejects(inspectKernel(new Uint8Array(4096)), KernelError);
  const memdisk = buildBzImage({ fields: { 0x206: [2, 0x203n] } });
  await assert.rejects(inspectKernel(memdisk), /boot protocol 2\.03/);
});
