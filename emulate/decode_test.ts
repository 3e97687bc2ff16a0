/** The decoder: bytes to operands. */
import assert from "node:assert/strict";
import {
  decodeOpcode,
  decodeOperands,
  TruncatedInstruction,
} from "./decode.ts";
import { findInstruction } from "./instructions.ts";

function decode(...bytes: number[]) {
  const code = Uint8Array.from(bytes);
  const opcode = decodeOpcode(code);
  return { opcode, operands: decodeOperands(code, opcode) };
}

function name(...bytes: number[]): string | undefined {
  return findInstruction(Uint8Array.from(bytes))?.instruction.name;
}

Deno.test("decode: prefixes in any order, and the last REX only", () => {
  const { opcode } = decode(0x66, 0xf3, 0x65, 0x4c, 0x0f, 0xb8, 0xc1);
  assert.equal(opcode.prefix, 0xf3);
  assert.equal(opcode.operand16, true);
  assert.equal(opcode.segment, "gs");
  assert.equal(opcode.wide, true);
  assert.equal(opcode.extend.reg, 8);
  const late = decode(0x48, 0xf3, 0x0f, 0xb8, 0xc1);
  assert.equal(late.opcode.wide, false, "a prefix after REX cancels it");
});

Deno.test("decode: ModRM, SIB and displacements", () => {
  const memory = (...bytes: number[]) =>
    decode(0x48, 0x0f, 0xc7, ...bytes).operands.memory;
  const none = { index: undefined, scale: 1, ripRelative: false };
  assert.deepEqual(memory(0x0b), { ...none, base: 3, displacement: 0 });
  assert.deepEqual(memory(0x4d, 0x80), {
    ...none,
    base: 5,
    displacement: -128,
  });
  assert.deepEqual(memory(0x8d, 1, 0, 0, 0x80), {
    ...none,
    base: 5,
    displacement: -0x7fff_ffff,
  });
  assert.deepEqual(memory(0x0d, 4, 0, 0, 0), {
    ...none,
    base: undefined,
    displacement: 4,
    ripRelative: true,
  });
  assert.deepEqual(memory(0x0c, 0x24), { ...none, base: 4, displacement: 0 });
  assert.deepEqual(memory(0x0c, 0xdd, 8, 0, 0, 0), {
    base: undefined,
    index: 3,
    scale: 8,
    displacement: 8,
    ripRelative: false,
  });
  const extended = decode(0x4f, 0x0f, 0xc7, 0x4c, 0xa4, 0x10).operands;
  assert.deepEqual(extended.memory, {
    base: 12,
    index: 12,
    scale: 4,
    displacement: 16,
    ripRelative: false,
  });
  assert.equal(extended.reg, 9);
  assert.equal(extended.length, 6);
});

Deno.test("find: an instruction by all that identifies it", () => {
  assert.equal(name(0xcc), "INT3");
  assert.equal(name(0x9b, 0xdd, 0x38), "FWAIT");
  assert.equal(name(0x0f, 0x01, 0xca, 0xc3), "CLAC");
  assert.equal(name(0x0f, 0x01, 0xcb), "STAC");
  assert.equal(name(0x0f, 0x01, 0x0a), undefined, "SIDT, not CLAC");
  assert.equal(name(0x0f, 0x01, 0xf8), undefined, "SWAPGS");
  assert.equal(name(0x90, 0xcc), undefined, "INT3 comes later");
  assert.equal(name(0xf0, 0x48, 0x0f, 0xc7, 0x4d, 0x20), undefined);
  assert.equal(name(0xc5, 0xf8, 0x77), undefined, "VZEROUPPER");
  assert.equal(name(0x0f, 0xae, 0xe8), "LFENCE");
  assert.equal(name(0x0f, 0xae, 0x2b), "XRSTOR");
  assert.equal(name(0x48, 0x0f, 0xc7, 0xf0), "RDRAND");
  assert.equal(name(0xf3, 0x0f, 0xc7, 0xf8), "RDPID");
});

Deno.test("find: cut off anywhere, more bytes are asked for", () => {
  const whole = [0x48, 0x0f, 0xae, 0xa4, 0x25, 1, 2, 3, 4];
  assert.equal(name(...whole), "XSAVE");
  for (let length = 0; length < whole.length; length++) {
    assert.throws(() => name(...whole.slice(0, length)), TruncatedInstruction);
  }
  const prefixes = new Array(16).fill(0x66);
  assert.throws(() => name(...prefixes), TruncatedInstruction, "16 bytes");
});

Deno.test("find: no bytes make the decoder fail otherwise", () => {
  let seed = 1;
  const random = () => (seed = (seed * 1103515245 + 12345) >>> 0) >>> 16 & 0xff;
  for (let i = 0; i < 20_000; i++) {
    const bytes = Uint8Array.from({ length: 15 }, random);
    bytes[0] = [0x0f, 0xf3, 0x66, 0xc4, 0xc5, 0x48][i % 6]!;
    try {
      const found = findInstruction(bytes);
      if (found) assert.ok(found.operands.length <= 15);
    } catch (error) {
      assert.ok(error instanceof TruncatedInstruction);
    }
  }
});
