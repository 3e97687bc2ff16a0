/** Symbols of kernels, from files that may be anything. */
import assert from "node:assert/strict";
import { Random } from "../testing/random.ts";
import { KernelSymbols } from "./symbols.ts";

const MAP = `ffffffff81000000 T _text
ffffffff81000100 T start_kernel
ffffffff81000100 t start_kernel_alias
ffffffffa0000000 t probe\t[virtio_blk]
no line of it
0000000000014000 A irq_stack_ptr
`;

/** An ELF file with a symbol table: no section, the table, its names. */
function elf(symbols: [name: string, value: bigint, info: number][]) {
  const encoder = new TextEncoder();
  const names = encoder.encode("\0" + symbols.map(([n]) => `${n}\0`).join(""));
  const table = 64 + 3 * 64, strings = table + symbols.length * 24;
  const file = new Uint8Array(strings + names.length);
  const view = new DataView(file.buffer);
  view.setUint32(0, 0x7f454c46);
  view.setUint8(4, 2);
  view.setBigUint64(40, 64n, true);
  view.setUint16(58, 64, true);
  view.setUint16(60, 3, true);
  const section = (i: number, type: number, at: number, size: number) => {
    view.setUint32(64 * (i + 1) + 4, type, true);
    view.setBigUint64(64 * (i + 1) + 24, BigInt(at), true);
    view.setBigUint64(64 * (i + 1) + 32, BigInt(size), true);
    view.setUint32(64 * (i + 1) + 40, 2, true);
  };
  section(1, 2, table, symbols.length * 24);
  section(2, 3, strings, names.length);
  let name = 1;
  symbols.forEach(([text, value, info], i) => {
    const at = table + 24 * i;
    view.setUint32(at, name, true);
    view.setUint8(at + 4, info);
    view.setUint16(at + 6, 1, true);
    view.setBigUint64(at + 8, value, true);
    name += text.length + 1;
  });
  file.set(names, strings);
  return file;
}

Deno.test("kernel symbols: of System.map and /proc/kallsyms, by name and address", () => {
  const symbols = KernelSymbols.read(new TextEncoder().encode(MAP));
  assert.equal(symbols.size, 5);
  assert.equal(symbols.address("start_kernel"), 0xffff_ffff_8100_0100n);
  assert.equal(symbols.address("probe"), 0xffff_ffff_a000_0000n);
  assert.equal(symbols.address("nobody"), undefined);
  const near = (address: bigint) => symbols.near(address);
  assert.deepEqual(near(0xffff_ffff_8100_00ffn), {
    name: "_text",
    offset: 255,
  });
  assert.equal(near(0xffff_ffff_8100_0108n)?.offset, 8);
  assert.equal(near(0xffff_ffff_9000_0000n), undefined, "too far");
  assert.equal(near(0x10n), undefined, "before all");
});

Deno.test("kernel symbols: of an ELF file's functions and data, no sections or files", () => {
  const symbols = KernelSymbols.read(elf([
    ["start", 0x1000n, 0x12],
    ["kernel.c", 0n, 0x04],
    ["counter", 0x2000n, 0x11],
    ["label", 0x1800n, 0x00],
  ]));
  assert.equal(symbols.size, 3);
  assert.deepEqual(symbols.near(0x1804n), { name: "label", offset: 4 });
  assert.equal(symbols.address("counter"), 0x2000n);
});

Deno.test("kernel symbols: a file without any, or that is damaged, gets a line", () => {
  const refuses = (file: Uint8Array, message: RegExp) =>
    assert.throws(() => KernelSymbols.read(file), {
      name: "KernelError",
      message,
    });
  refuses(new Uint8Array(10), /^embedded symbols: has no symbols$/);
  refuses(elf([]), /has no symbols$/);
  const short = elf([["start", 0x1000n, 0x12]]);
  refuses(short.slice(0, 80), /has a table outside of the file$/);
  const whole = elf([["a", 1n, 0x12], ["bc", 2n, 0x12]]);
  for (let seed = 1; seed <= 2000; seed++) {
    const random = new Random(seed);
    const file = whole.slice(
      0,
      whole.length - random.below(3) * random.below(99),
    );
    for (let i = random.below(6); i >= 0; i--) {
      file[random.below(file.length)] = random.below(256);
    }
    try {
      KernelSymbols.read(file);
    } catch (error) {
      assert.equal(
        (error as Error).name,
        "KernelError",
        `seed ${seed}: ${error}`,
      );
    }
  }
});
