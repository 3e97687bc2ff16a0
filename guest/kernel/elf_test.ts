import assert from "node:assert/strict";
import { parseElf } from "./elf.ts";
import { KernelError } from "./error.ts";
import { buildElf, type TestElf, type TestSegment } from "../testing/mod.ts";

const LABEL = 'kernel "x"';

/** What parseElf says against `file`; `size` is the size it is told. */
function refusal(file: Uint8Array, size = file.length): string {
  try {
    parseElf(file, size, LABEL);
  } catch (error) {
    assert(error instanceof KernelError, String(error));
    assert(error.message.startsWith(`${LABEL}: `));
    assert(!error.message.includes("\n"), "one line");
    return error.message.slice(LABEL.length + 2);
  }
  return assert.fail("the kernel was taken");
}

function elfWith(segment: TestSegment, elf: TestElf = {}): Uint8Array {
  const address = 0x100_0000n;
  const bytes = new Uint8Array(16);
  return buildElf({ ...elf, segments: [{ address, bytes, ...segment }] });
}

Deno.test("parseElf: segments come with their physical addresses", () => {
  const kernel = parseElf(
    elfWith({ virtualAddress: 0xffff_ffff_8100_0000n, memorySize: 4096n }),
    136,
  );
  assert.deepEqual(kernel, {
    bits: 64,
    entry: 0x100_0000,
    entryIsVirtual: false,
    segments: [{
      index: 0,
      fileOffset: 120,
      fileSize: 16,
      address: 0x100_0000,
      memorySize: 4096,
    }],
    notes: [],
  });
});

Deno.test("parseElf: a view into a larger buffer is read at its offset", () => {
  const file = buildElf();
  const larger = new Uint8Array(file.length + 10);
  larger.set(file, 7);
  const view = larger.subarray(7, 7 + file.length);
  assert.equal(parseElf(view, file.length).entry, 0x100_0000);
});

Deno.test("parseElf: a physical entry wins over a segment linked at 0", () => {
  // An SMP vmlinux links its per-CPU segment at virtual address 0.
  const kernel = buildElf({
    entry: 0x100_0010n,
    segments: [
      {
        address: 0x200_0000n,
        virtualAddress: 0n,
        bytes: new Uint8Array(8),
        memorySize: 0x200_0000n,
      },
      {
        address: 0x100_0000n,
        virtualAddress: 0xffff_ffff_8100_0000n,
        bytes: new Uint8Array(32),
      },
    ],
  });
  assert.equal(parseElf(kernel, kernel.length).entry, 0x100_0010);
});

Deno.test("parseElf: what is no ELF file is said to be none", () => {
  const notElf = "is not an ELF file";
  assert.equal(refusal(new Uint8Array([0x7f])), notElf);
  assert.equal(refusal(new TextEncoder().encode("#!/bin/sh\nexit\n")), notElf);
  assert.equal(refusal(new Uint8Array(4096)), notElf);
});

Deno.test("parseElf: the wrong kind of ELF file is named", () => {
  const cases: [TestElf, RegExp][] = [
    [{ class: 1 }, /^is for another machine \(32-bit ELF machine 62, not 3/],
    [{ class: 9 }, /^has ELF class 9/],
    [{ data: 2 }, /^is not a little-endian ELF/],
    [
      { machine: 183 },
      /^is for another machine \(64-bit ELF machine 183, not 62/,
    ],
    [{ type: 1 }, /^is not an executable \(ELF type 1\)/],
    [{ segments: [] }, /^has no segment to load/],
    [{ phentsize: 32 }, /^has program headers of 32 bytes, not 56/],
    [{ phnum: 0xffff }, /^has 65535 program headers, more than 128/],
    [{ phnum: 9 }, /^is truncated: the program headers end at byte 568/],
    [{ phoff: 2n ** 64n - 1n }, /^is truncated: the program headers/],
    [{ entry: 0x200_0000n }, /^entry 0x2000000 is outside of every segment/],
  ];
  for (const [elf, expected] of cases) {
    assert.match(refusal(buildElf(elf)), expected);
  }
});

Deno.test("parseElf: program headers far into the file are refused, not read", () => {
  const file = buildElf({ phoff: 1n << 20n });
  assert.match(refusal(file, 2 << 20), /in the first 16384/);
});

Deno.test("parseElf: segments that can't be true are refused", () => {
  const cases: [TestSegment, RegExp][] = [
    [{ fileSize: 17n, memorySize: 17n }, /ends at byte 137 .* file has 136$/],
    [{ memorySize: 15n }, /^segment 0 has 16 bytes in the file but only 15/],
    [{ offset: 2n ** 64n - 8n }, /has file offset 0xfffffffffffffff8/],
    [{ fileSize: 2n ** 63n }, /has file size 0x8000000000000000/],
    [{ memorySize: 2n ** 52n }, /has memory size 0x10000000000000/],
    [{ address: 2n ** 64n - 1n }, /has physical address 0xffffffffffffffff/],
    [{ bytes: new Uint8Array() }, /^has no segment to load/],
  ];
  for (const [segment, expected] of cases) {
    assert.match(refusal(elfWith(segment, { entry: 0x100_0000n })), expected);
  }
});

Deno.test("parseElf: a file cut anywhere is refused", () => {
  const file = buildElf();
  for (let length = 0; length < file.length; length++) {
    const message = refusal(file.subarray(0, length), length);
    assert.match(message, length < 4 ? /^is not an ELF/ : /^is truncated: /);
  }
});
