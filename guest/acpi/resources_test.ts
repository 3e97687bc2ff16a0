import assert from "node:assert/strict";
import { interrupt, io, memory32Fixed, resourceTemplate } from "./resources.ts";

Deno.test("resources: ports", () => {
  const bytes = [0x47, 0x01, 0xf8, 0x03, 0xf8, 0x03, 0x01, 0x08];
  assert.deepEqual(io(0x3f8, 8), bytes);
});

Deno.test("resources: a window above 2 GiB", () => {
  assert.deepEqual(memory32Fixed(0xc000_1000, 0x1000), [
    ...[0x86, 9, 0, 0x01],
    ...[0x00, 0x10, 0x00, 0xc0],
    ...[0x00, 0x10, 0x00, 0x00],
  ]);
});

Deno.test("resources: an interrupt is an edge, active high, exclusive", () => {
  // Bit 0 consumer, 1 edge, 2 active low, 3 shared, 4 wakes.
  assert.deepEqual(interrupt(23), [0x89, 6, 0, 0b00011, 1, 23, 0, 0, 0]);
});

Deno.test("resources: a template ends with a checksum of all its bytes", () => {
  const template = resourceTemplate(io(0x70, 2), interrupt(8));
  const content = template.slice(4); // BufferOp, PkgLength, BytePrefix, size
  assert.deepEqual(template.slice(0, 4), [0x11, 22, 0x0a, 19]);
  assert.equal(content.length, 19);
  assert.equal(content.at(-2), 0x79);
  assert.notEqual(content.at(-1), 0);
  assert.equal(content.reduce((sum, byte) => sum + byte, 0) & 0xff, 0);
});

Deno.test("resources: an empty template is an end tag", () => {
  assert.deepEqual(resourceTemplate(), [0x11, 5, 0x0a, 2, 0x79, 0x87]);
});
