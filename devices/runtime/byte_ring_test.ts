import assert from "node:assert/strict";
import { ByteRing } from "./byte_ring.ts";

function ring(capacity: number): ByteRing {
  const shared = new SharedArrayBuffer(ByteRing.byteLength(capacity));
  return new ByteRing(shared, 0, capacity);
}

Deno.test("ByteRing: bytes come out in order, across the end of the memory", () => {
  const bytes = ring(8);
  let pushed = 0;
  let popped = 0;
  for (let round = 0; round < 100; round++) {
    for (let i = 0; i < round % 9; i++) if (bytes.push(pushed & 0xff)) pushed++;
    for (let i = 0; i < round % 7; i++) {
      const byte = bytes.pop();
      if (byte >= 0) assert.equal(byte, popped++ & 0xff);
    }
    assert.equal(bytes.length, pushed - popped);
    assert.equal(bytes.free, 8 - bytes.length);
  }
});

Deno.test("ByteRing: a full ring refuses, an empty one gives -1", () => {
  const bytes = ring(2);
  assert.equal(bytes.pop(), -1);
  assert.equal(bytes.push(1), true);
  assert.equal(bytes.push(2), true);
  assert.equal(bytes.push(3), false);
  assert.equal(bytes.pop(), 1);
  assert.equal(bytes.pop(), 2);
  assert.equal(bytes.pop(), -1);
});

Deno.test("ByteRing: pushAll takes what fits, popAll everything", () => {
  const bytes = ring(8);
  bytes.pushAll(new Uint8Array(6));
  for (let i = 0; i < 6; i++) bytes.pop();
  const input = Uint8Array.from({ length: 10 }, (_, i) => i);
  assert.equal(bytes.pushAll(input), 8);
  assert.equal(bytes.pushAll(input), 0);
  assert.deepEqual(bytes.popAll(), input.slice(0, 8));
  assert.deepEqual(bytes.popAll(), new Uint8Array(0));
});

Deno.test("ByteRing: pushFrom and popInto move parts of arrays", () => {
  const ring = new ByteRing(
    new SharedArrayBuffer(ByteRing.byteLength(8)),
    0,
    8,
  );
  const source = Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
  const target = new Uint8Array(6);
  assert.equal(ring.pushFrom(source, 1, 6), 5);
  assert.equal(ring.popInto(target, 2, 5), 3);
  assert.deepEqual([...target], [0, 0, 1, 2, 3, 0]);
  assert.equal(ring.pushFrom(source, 6, 11), 5, "across the end");
  assert.equal(ring.pushFrom(source, 0, 9), 1, "what fits");
  assert.equal(ring.pushFrom(source, 0, 9), 0);
  assert.deepEqual([...ring.popAll()], [4, 5, 6, 7, 8, 9, 10, 0]);
  assert.equal(ring.popInto(target, 0, 6), 0);
});

Deno.test("ByteRing: its counters may wrap at 32 bits", () => {
  const capacity = 8;
  const shared = new SharedArrayBuffer(ByteRing.byteLength(capacity));
  // All counters shortly before the sign changes.
  new Int32Array(shared, 0, 32).fill(0x7fff_fffc);
  const bytes = new ByteRing(shared, 0, capacity);
  for (let i = 0; i < 8; i++) assert.equal(bytes.push(i), true);
  assert.equal(bytes.push(8), false);
  assert.equal(bytes.length, 8);
  assert.deepEqual(bytes.popAll(), Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7));
});

Deno.test("ByteRing: two views on the same memory are one ring", () => {
  const shared = new SharedArrayBuffer(64 + ByteRing.byteLength(16));
  const producer = new ByteRing(shared, 64, 16);
  const consumer = new ByteRing(shared, 64, 16);
  producer.pushAll(Uint8Array.of(1, 2, 3));
  assert.equal(consumer.pop(), 1);
  assert.equal(producer.length, 2);
});

Deno.test("ByteRing: the capacity must be a power of two", () => {
  for (const capacity of [0, 3, 1000, -1]) {
    const shared = new SharedArrayBuffer(2048);
    assert.throws(() => new ByteRing(shared, 0, capacity), RangeError);
  }
});
