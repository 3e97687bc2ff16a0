import assert from "node:assert/strict";
import { Lz4Error, unpackLz4Block } from "./unpack_lz4.ts";
import { Random } from "../testing/random.ts";

/** What a block unpacks to, as text. */
function unpacked(block: number[], room = 1000): string {
  const target = new Uint8Array(room);
  const length = unpackLz4Block(Uint8Array.from(block), target);
  return new TextDecoder().decode(target.subarray(0, length));
}

const ascii = (text: string) => [...new TextEncoder().encode(text)];

Deno.test("unpackLz4Block: literals, and a match that reaches into itself", () => {
  assert.equal(unpacked([0x30, ...ascii("abc")]), "abc");
  // "ab", then 4 + 3 bytes from 2 back, then the last literal.
  assert.equal(
    unpacked([0x23, ...ascii("ab"), 2, 0, 0x10, 0x21]),
    "ababababa!",
  );
});

Deno.test("unpackLz4Block: lengths go on while a byte is 255", () => {
  const long = "x".repeat(15 + 255 + 7);
  assert.equal(unpacked([0xf0, 255, 7, ...ascii(long)]), long);
  assert.equal(
    unpacked([0x1f, 0x78, 1, 0, 255, 0, 0x10, 0x79]),
    "x".repeat(1 + 4 + 15 + 255) + "y",
  );
});

Deno.test("unpackLz4Block: a broken block is an error, wherever it breaks", () => {
  const broken = [
    [0x30, 0x61], // literals beyond the end
    [0xf0, 255], // ends inside of a length
    [0x10, 0x61, 1], // ends inside of an offset
    [0x10, 0x61, 0, 0], // offset 0
    [0x10, 0x61, 2, 0], // before the beginning
    [0x1f, 0x61, 1, 0, 255], // ends inside of the match's length
  ];
  for (const block of broken) {
    assert.throws(() => unpacked(block), Lz4Error, block.join());
  }
  assert.throws(() => unpacked([0x30, ...ascii("abc")], 2), Lz4Error);
  assert.throws(() => unpacked([0x1f, 0x61, 1, 0, 100], 50), Lz4Error);
});

Deno.test("unpackLz4Block: random bytes end in an error or within the target", () => {
  const random = new Random(9);
  const target = new Uint8Array(4096);
  for (let run = 0; run < 5000; run++) {
    const block = random.bytes(random.below(40));
    try {
      assert(unpackLz4Block(block, target) <= target.length);
    } catch (error) {
      assert(error instanceof Lz4Error, String(error));
    }
  }
});
