import assert from "node:assert/strict";
import { packageOf } from "../../ffi/packages.ts";
import { gzipSync, zstdCompressSync } from "node:zlib";
import type { CompressionFormat } from "./compression.ts";
import type { KernelEntry } from "./entry.ts";
import { KernelError } from "./error.ts";
import { openKernel } from "./image.ts";
import { MiB } from "../layout.ts";
import {
  buildElf,
  buildElf32,
  buildNote,
  TestSegmentType,
} from "../testing/mod.ts";
import {
  buildBzImage,
  pack,
  packersOf,
  type TestBzImage,
  withSize,
} from "../testing/bzimage.ts";
import { needing } from "../../ffi/testing/needs.ts";

const LIMIT = 64 * MiB;

const pvhNote = {
  type: TestSegmentType.NOTE,
  bytes: buildNote("Xen", 18, new Uint8Array([4, 0, 0, 1])),
};
const text = { address: 0x100_0000n, bytes: new Uint8Array(64).fill(0xf4) };
const linkedHigh = { ...text, virtualAddress: 0xffff_ffff_8100_0000n };

const plain = buildElf({ segments: [text] });
const both = buildElf({ segments: [text, pvhNote] });

/** How the kernel would be entered. */
async function entryOf(file: Uint8Array, entry?: KernelEntry): Promise<string> {
  using image = await openKernel(file, { limit: LIMIT, entry });
  return image.entry;
}

/** Why the kernel is refused, in one line. */
async function refusal(
  file: Uint8Array,
  entry?: KernelEntry,
  limit = LIMIT,
): Promise<string> {
  try {
    (await openKernel(file, { limit, entry }))[Symbol.dispose]();
  } catch (error) {
    assert(error instanceof KernelError, String(error));
    assert(!error.message.includes("\n"), "one line");
    return error.message.replace(/^embedded kernel: /, "");
  }
  return assert.fail("the kernel was taken");
}

Deno.test("openKernel: Linux is entered at its 64-bit entry, also with a PVH note", async () => {
  assert.equal(await entryOf(plain), "vmlinux");
  assert.equal(await entryOf(both), "vmlinux");
  assert.equal(await entryOf(both, "pvh"), "pvh");
});

Deno.test("openKernel: a kernel whose entry is a virtual address, or of 32 bits, is entered by PVH", async () => {
  const entry = 0xffff_ffff_8100_0000n;
  const virtual = buildElf({ entry, segments: [linkedHigh, pvhNote] });
  assert.equal(await entryOf(virtual), "pvh");
  assert.equal(await entryOf(virtual, "vmlinux"), "vmlinux");
  const without = buildElf({ entry, segments: [linkedHigh] });
  assert.equal(await entryOf(without), "vmlinux");
  assert.equal(await entryOf(buildElf32({ segments: [text, pvhNote] })), "pvh");
});

Deno.test("openKernel: an entry that the kernel doesn't have is refused", async () => {
  assert.match(await refusal(plain, "pvh"), /^has no PVH note/);
  assert.match(await refusal(plain, "bzimage"), /^is an ELF file, no bzImage/);
  const elf32 = buildElf32({ segments: [text] });
  assert.match(await refusal(elf32), /^is a 32-bit kernel/);
  const pvh32 = buildElf32({ segments: [text, pvhNote] });
  assert.match(
    await refusal(pvh32, "vmlinux"),
    /has no 64-bit entry, only PVH/,
  );
});

Deno.test("openKernel: what is no kernel is said to be none, whatever it is in", async () => {
  const script = new TextEncoder().encode("#!/bin/sh\nexit\n");
  for (const file of [script, new Uint8Array(1), new Uint8Array(4096)]) {
    assert.match(await refusal(file), /^is no kernel: Vireo boots vmlinux/);
    assert.match(await refusal(gzipSync(file)), /^is no kernel/);
  }
  let nested: Uint8Array = plain;
  for (let i = 0; i < 4; i++) nested = gzipSync(nested);
  assert.match(await refusal(nested), /^is packed too often/);
  const uki = new TextEncoder().encode("MZ".padEnd(4096, "\0"));
  assert.match(await refusal(uki), /^is a UEFI program/);
});

Deno.test("openKernel: a bzImage of 32 bits is refused by its flags", async () => {
  const image = buildBzImage({ payload: plain, fields: { 0x236: [2, 0n] } });
  assert.match(await refusal(image), /^is a 32-bit kernel \(no XLF_KERNEL_64/);
});

Deno.test("openKernel: before protocol 2.12 only the payload tells that a kernel has 64 bits", async () => {
  const fields: TestBzImage["fields"] = {
    0x206: [2, 0x020bn],
    0x236: [2, 0n],
  };
  const payload = gzipSync(plain);
  assert.equal(await entryOf(buildBzImage({ payload, fields })), "vmlinux");
  assert.match(
    await refusal(buildBzImage({ payload, fields }), "bzimage"),
    /before 2\.12/,
  );
  assert.match(await refusal(buildBzImage({ fields })), /^has no payload/);
});

Deno.test("openKernel: a payload of an unknown format is left to the kernel's own decompressor", async () => {
  const payload = new Uint8Array(100).fill(0x77);
  assert.equal(await entryOf(buildBzImage({ payload })), "bzimage");
  assert.match(
    await refusal(buildBzImage({ payload }), "vmlinux"),
    /^has no payload that could be unpacked/,
  );
});

Deno.test(needing(["xz"], {
  name:
    "openKernel: without the program to unpack with, the kernel does it, and that is said",
  async fn() {
    const packed = await pack(plain, "xz");
    const image = buildBzImage({
      payload: withSize(packed, "xz", plain.length),
    });
    const path = Deno.env.get("PATH")!;
    Deno.env.set("PATH", "/nowhere");
    try {
      const said: string[] = [];
      using opened = await openKernel(image, {
        limit: LIMIT,
        onFallback: (reason) => said.push(reason),
      });
      assert.equal(opened.entry, "bzimage");
      assert.match(
        said.join(),
        new RegExp(`no "xz" .* ${packageOf("xz")}; the guest unpacks it`),
      );
      assert.match(
        await refusal(packed),
        /no "xz" to unpack it: apt-get install/,
      );
      assert.match(await refusal(image, "vmlinux"), /no "xz" to unpack it/);
    } finally {
      Deno.env.set("PATH", path);
    }
  },
}));

const COMPRESSIONS: CompressionFormat[] = [
  "gzip",
  "xz",
  "lz4",
  "zstd",
  "lzma",
  "bzip2",
  "lzo",
];

for (const compression of COMPRESSIONS) {
  Deno.test(needing(packersOf(compression), {
    name:
      `openKernel: what unpacks to more than the guest's memory is refused, not unpacked: ${compression}`,
    async fn() {
      const bomb = buildElf({
        segments: [{ ...text, bytes: new Uint8Array(8 * MiB) }],
      });
      const packed = await pack(bomb, compression);
      const tooLarge = /^unpacks to more than the 2 MiB of memory/;
      assert.match(await refusal(packed, undefined, 2 * MiB), tooLarge);
      const payload = withSize(packed, compression, bomb.length);
      const image = buildBzImage({ payload });
      assert.match(await refusal(image, undefined, 2 * MiB), tooLarge);
      if (compression === "gzip") return; // it checks its size itself
      const lies = buildBzImage({
        payload: withSize(packed, compression, 1000),
      });
      const reason = /^(can't be unpacked|unpacks to more than)/;
      assert.match(await refusal(lies), reason, compression);
    },
  }));

  Deno.test(needing(packersOf(compression), {
    name:
      `openKernel: a truncated or broken payload is refused with the reason: ${compression}`,
    async fn() {
      const packed = await pack(both, compression);
      const half = packed.subarray(0, packed.length / 2);
      const payload = withSize(half, compression, both.length);
      const reason = await refusal(buildBzImage({ payload }));
      assert.match(reason, /^(can't be unpacked|unpacks to more)/, compression);
      const bare = await refusal(half);
      assert.match(bare, /^(can't be unpacked|is truncated)/, compression);
    },
  }));
}

Deno.test("openKernel: a zstd frame that ends early is noticed by its size", async () => {
  const packed = zstdCompressSync(both).subarray(0, 20);
  const payload = withSize(packed, "zstd", both.length);
  assert.match(await refusal(buildBzImage({ payload })), /^can't be unpacked/);
});

Deno.test("openKernel: progress goes from nothing to all", async () => {
  const large = buildElf({
    segments: [{
      ...text,
      bytes: crypto.getRandomValues(new Uint8Array(60_000)),
    }],
  });
  const seen: number[] = [];
  const image = await openKernel(gzipSync(large), {
    limit: LIMIT,
    onProgress: (fraction) => seen.push(fraction),
  });
  image[Symbol.dispose]();
  assert.equal(seen[0], 0);
  assert.equal(seen.at(-1), 1);
});
