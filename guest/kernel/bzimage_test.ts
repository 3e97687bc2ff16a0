import assert from "node:assert/strict";
import { OpenBootFile } from "./file.ts";
import {
  type BzImage,
  loadBzImage,
  parseBzImage,
  SETUP_HEADER_END,
  versionText,
} from "./bzimage.ts";
import { KernelCommandLine } from "../boot/cmdline.ts";
import { KernelError } from "./error.ts";
import { Layout, MiB } from "../layout.ts";
import { setUpLinux } from "../boot/linux.ts";
import { GuestMemory } from "../memory.ts";
import {
  buildBzImage,
  TEST_CODE_OFFSET,
  TEST_PAYLOAD_OFFSET,
  TEST_VERSION,
  type TestBzImage,
} from "../testing/bzimage.ts";

const LABEL = 'kernel "x"';
const RAM = 32 * MiB;

function parse(file: Uint8Array, size = file.length): BzImage {
  return parseBzImage(file.subarray(0, SETUP_HEADER_END), size, LABEL);
}

/** The reason that `action` is refused for, which must be one line. */
function refusal(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    assert(error instanceof KernelError, String(error));
    assert(!error.message.includes("\n"), "one line");
    return error.message.replace(/^(kernel "x"|embedded kernel): /, "");
  }
  return assert.fail("it was taken");
}

const fields = (of: TestBzImage["fields"]) => buildBzImage({ fields: of });

Deno.test("parseBzImage: the setup header's fields", () => {
  const payload = new Uint8Array(5000).fill(1);
  const file = buildBzImage({ payload });
  const { header, ...image } = parse(file);
  assert.deepEqual(image, {
    protocol: 0x020f,
    versionOffset: 0x300,
    codeOffset: TEST_CODE_OFFSET,
    codeSize: file.length - TEST_CODE_OFFSET,
    initrdMax: 0x7fff_ffff,
    alignment: 2 * MiB,
    relocatable: true,
    xloadflags: 1,
    commandLineMax: 2047,
    payload: { offset: TEST_CODE_OFFSET + TEST_PAYLOAD_OFFSET, size: 5000 },
    preferredAddress: 16 * MiB,
    initSize: MiB,
  });
  assert.equal(header.length, 0x26c - 0x1f1, "up to where the jump goes");
  assert.equal(
    versionText(parse(file), new OpenBootFile(file, "kernel")),
    TEST_VERSION,
  );
});

Deno.test("parseBzImage: fields behind the header's end are code, and read as 0", () => {
  const image = parse(fields({ 0x200: [2, 0x3eebn], 0x206: [2, 0x0207n] }));
  assert.equal(image.header.length, 0x240 - 0x1f1);
  assert.deepEqual(image.payload, { offset: 0, size: 0 });
  assert.equal(image.preferredAddress, 0);
});

Deno.test("parseBzImage: what can't be booted is named", () => {
  const cases: [TestBzImage["fields"], RegExp][] = [
    [{ 0x206: [2, 0x0203n] }, /^speaks boot protocol 2\.03, .*real-mode/],
    [{ 0x211: [1, 0n] }, /^is a zImage/],
    [{ 0x1f4: [4, 0xffff_ffffn] }, /^is truncated: the kernel ends at byte/],
    [{ 0x1f1: [1, 64n] }, /^is truncated: the kernel ends at byte/],
    [
      { 0x248: [4, 0xffff_fff0n], 0x24c: [4, 100n] },
      /^has a payload up to byte 4294968916/,
    ],
  ];
  for (const [of, expected] of cases) {
    assert.match(refusal(() => parse(fields(of))), expected);
  }
});

Deno.test("parseBzImage: a file cut anywhere is refused", () => {
  const file = buildBzImage();
  for (let size = 0x206; size < file.length - 16; size += 7) {
    const cut = file.subarray(0, size);
    assert.match(refusal(() => parse(cut)), /^is truncated: /, `${size}`);
  }
  // syssize counts in 16 bytes: the last ones may not be in the file.
  parse(file, file.length - 15);
});

Deno.test("loadBzImage: the code goes to pref_address, the entry is 0x200 behind", () => {
  using memory = GuestMemory.allocate(RAM);
  const source = new OpenBootFile(buildBzImage(), "kernel");
  const image = parse(source.head(source.size));
  assert.deepEqual(loadBzImage(memory, image, source), {
    lowest: 16 * MiB,
    end: 17 * MiB,
    entry: 16 * MiB + 0x200,
  });
  assert.equal(memory.bytes(16 * MiB + 0x200, 1)[0], 0xf4);
});

Deno.test("loadBzImage: a relocatable kernel is aligned, and none is below 1 MiB", () => {
  using memory = GuestMemory.allocate(RAM);
  const entry = (of: TestBzImage["fields"]) => {
    const source = new OpenBootFile(fields(of), "kernel");
    return loadBzImage(memory, parse(source.head(source.size)), source).entry;
  };
  const preferred = (address: bigint) => ({
    0x258: [8, address] as [8, bigint],
  });
  assert.equal(entry(preferred(0x100_1000n)), 18 * MiB + 0x200);
  assert.equal(
    entry({ ...preferred(0x100_1000n), 0x234: [1, 0n] }),
    0x100_1200,
    "not relocatable",
  );
  assert.equal(entry(preferred(0n)), 2 * MiB + 0x200);
  assert.equal(entry({ ...preferred(0n), 0x234: [1, 0n] }), MiB + 0x200);
});

Deno.test("loadBzImage: what does not fit into RAM is refused before a byte is written", () => {
  using memory = GuestMemory.allocate(RAM);
  const cases: [TestBzImage["fields"], RegExp][] = [
    [
      { 0x260: [4, 32n * 1024n * 1024n] },
      /^needs 48 MiB .* has 32 MiB: --memory/,
    ],
    [{ 0x258: [8, 2n ** 64n - 1n] }, /^wants to be loaded from 0x/],
    [
      { 0x258: [8, 0xbff0_0000n], 0x234: [1, 0n], 0x260: [4, 0x20_0000n] },
      /3 GiB/,
    ],
    [{ 0x236: [2, 0n] }, /^has no 64-bit entry/],
    [{ 0x1f4: [4, 32n] }, /^is truncated: it has 512 bytes of code/],
  ];
  for (const [of, expected] of cases) {
    const source = new OpenBootFile(fields(of), "kernel");
    const image = parse(source.head(source.size));
    assert.match(refusal(() => loadBzImage(memory, image, source)), expected);
  }
  assert(memory.bytes(0, RAM).every((byte) => byte === 0));
});

Deno.test("setUpLinux: a bzImage's header is copied, and its limits are kept", () => {
  using memory = GuestMemory.allocate(RAM);
  const file = fields({ 0x22c: [4, 0x17f_ffffn], 0x238: [4, 20n] });
  const bzImage = parse(file);
  const params = memory.view(
    setUpLinux(memory, {
      commandLine: new KernelCommandLine("x".repeat(20)),
      kernelEnd: 17 * MiB,
      initrd: new Uint8Array(10),
      rsdp: 0xe_0000,
      bzImage,
    }),
    4096,
  );
  assert.equal(params.getUint32(0x260, true), MiB, "init_size");
  assert.equal(params.getUint16(0x236, true), 1, "xloadflags");
  assert.equal(params.getUint8(0x26c), 0, "behind the header");
  assert.equal(params.getUint8(0x210), 0xff, "type_of_loader");
  assert.equal(params.getUint32(0x228, true), Layout.COMMAND_LINE);
  assert.equal(
    params.getUint32(0x218, true),
    24 * MiB - 4096,
    "initrd_addr_max",
  );
  assert.equal(params.getBigUint64(0x70, true), 0xe_0000n, "acpi_rsdp_addr");
  const boot = (words: string, kernelEnd: number) =>
    refusal(() =>
      setUpLinux(memory, {
        commandLine: new KernelCommandLine(words),
        kernelEnd,
        initrd: new Uint8Array(10),
        bzImage,
      })
    );
  assert.match(boot("x".repeat(21), 17 * MiB), /takes at most 20$/);
  assert.match(boot("", 24 * MiB), /too large: .* don't fit below 0.02 GiB/);
});
