import assert from "node:assert/strict";
import { pvhEntryOf } from "./elf_loader.ts";
import { KernelError } from "./error.ts";
import { MiB } from "../layout.ts";
import { GuestMemory } from "../memory.ts";
import { loadTestElf } from "../testing/elf.ts";
import { buildElf, buildNote, TestSegmentType } from "../testing/mod.ts";

const RAM = 32 * MiB;

/** The message of the KernelError that loading `file` ends with. */
function refusal(file: string | Uint8Array, ram = RAM): string {
  using memory = GuestMemory.allocate(ram);
  try {
    loadTestElf(memory, file);
  } catch (error) {
    assert(error instanceof KernelError, String(error));
    assert(!error.message.includes("\n"), "one line");
    return error.message;
  }
  return assert.fail("the kernel was taken");
}

Deno.test("loadElf: segments go to their physical addresses, from a file", async () => {
  const text = new Uint8Array([1, 2, 3, 4]);
  const data = new Uint8Array(70_000).fill(7);
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeFile(
      path,
      buildElf({
        segments: [
          { address: 0x100_0000n, bytes: text },
          { address: 0x120_0000n, bytes: data, memorySize: 80_000n },
        ],
      }),
    );
    using memory = GuestMemory.allocate(RAM);
    assert.deepEqual(loadTestElf(memory, path), {
      entry: 0x100_0000,
      lowest: 0x100_0000,
      end: 0x120_0000 + 80_000,
    });
    assert.deepEqual(memory.bytes(0x100_0000, 4), text);
    assert.deepEqual(memory.bytes(0x120_0000, data.length), data);
    assert(memory.bytes(0x120_0000 + 70_000, 10_000).every((b) => b === 0));
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("loadElf: the embedded payload is taken as bytes", () => {
  using memory = GuestMemory.allocate(RAM);
  const { entry } = loadTestElf(memory, buildElf());
  assert.equal(entry, 0x100_0000);
  assert.equal(memory.bytes(entry, 1)[0], 0xf4);
});

Deno.test("loadElf: a virtual entry is translated by its segment", () => {
  using memory = GuestMemory.allocate(RAM);
  const kernel = buildElf({
    entry: 0xffff_ffff_8100_0008n,
    segments: [{
      address: 0x100_0000n,
      virtualAddress: 0xffff_ffff_8100_0000n,
      bytes: new Uint8Array(16),
    }],
  });
  assert.equal(loadTestElf(memory, kernel).entry, 0x100_0008);
});

Deno.test("loadElf: a segment of BSS only has no bytes in the file, wherever it points", () => {
  using memory = GuestMemory.allocate(RAM);
  const kernel = buildElf({
    segments: [
      { address: 0x100_0000n, bytes: new Uint8Array(16) },
      { address: 0x120_0000n, offset: 1n << 40n, memorySize: 4096n },
    ],
  });
  assert.equal(loadTestElf(memory, kernel).end, 0x120_1000);
});

Deno.test("loadElf: the PVH note gives the 32-bit entry", () => {
  using memory = GuestMemory.allocate(RAM);
  const notes = new Uint8Array([
    ...buildNote("GNU", 3, new Uint8Array(20)),
    ...buildNote("Xen", 18, new Uint8Array([4, 0, 0, 1])),
  ]);
  const kernel = buildElf({
    segments: [
      { address: 0x100_0000n, bytes: new Uint8Array(16) },
      { type: TestSegmentType.NOTE, bytes: notes },
    ],
  });
  assert.equal(loadTestElf(memory, kernel).pvhEntry, 0x100_0004);
});

Deno.test("pvhEntryOf: notes that end early, or lie about their sizes, are no notes", () => {
  const note = buildNote("Xen", 18, new Uint8Array([4, 0, 0, 1]));
  assert.equal(pvhEntryOf(note), 0x100_0004);
  for (let length = 0; length < note.length; length++) {
    assert.equal(pvhEntryOf(note.subarray(0, length)), undefined);
  }
  const huge = note.slice();
  new DataView(huge.buffer).setUint32(0, 0xffff_ffff, true);
  assert.equal(pvhEntryOf(huge), undefined);
});

Deno.test("loadElf: a directory, an empty file and a pipe are named as such", async () => {
  const directory = await Deno.makeTempDir();
  try {
    assert.equal(refusal(directory), `kernel "${directory}": is a directory`);
    const empty = `${directory}/empty`;
    await Deno.writeFile(empty, new Uint8Array());
    assert.equal(refusal(empty), `kernel "${empty}": is empty`);
    const pipe = `${directory}/pipe`;
    await new Deno.Command("mkfifo", { args: [pipe] }).output();
    assert.match(refusal(pipe), /is a pipe or device/);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("loadElf: a missing file says so, with its name", () => {
  using memory = GuestMemory.allocate(RAM);
  assert.throws(() => loadTestElf(memory, "/nowhere/vmlinux"), {
    name: "SystemError",
    message: /open kernel "\/nowhere\/vmlinux": ENOENT/,
  });
});

Deno.test("loadElf: a segment outside of RAM asks for more memory", () => {
  const kernel = buildElf({
    segments: [{
      address: 0x100_0000n,
      bytes: new Uint8Array(4),
      memorySize: 48n * 1024n * 1024n,
    }],
  });
  assert.equal(
    refusal(kernel),
    "embedded kernel: needs 64 MiB of memory but the guest has 32 MiB: --memory",
  );
});

Deno.test("loadElf: a segment below 1 MiB or in the MMIO hole is refused", () => {
  const at = (address: bigint) =>
    buildElf({ segments: [{ address, bytes: new Uint8Array(4096) }] });
  assert.match(refusal(at(0x7000n)), /starts below 1 MiB/);
  assert.match(refusal(at(0xc000_0000n)), /beyond 3 GiB/);
  assert.match(refusal(at(0xbfff_f001n)), /beyond 3 GiB/);
});
