/** `struct iovec` as the kernel reads it. */
import assert from "node:assert/strict";
import { IOVEC_SIZE, Iovecs } from "./iovecs.ts";
import { Mapping } from "./memory/mmap.ts";

Deno.test("Iovecs: the kernel finds base and length where C has them", () => {
  using mapping = new Mapping(4096);
  const iovecs = new Iovecs(mapping, 32, 3);
  const base = 0x7fff_1234_5678;
  iovecs.set(1, base, 0xffff_ffff);
  const words = new BigUint64Array(mapping.buffer, 32 + IOVEC_SIZE, 2);
  assert.deepEqual([...words], [BigInt(base), 0xffff_ffffn]);
  assert.deepEqual([iovecs.base(1), iovecs.length(1)], [base, 0xffff_ffff]);
  iovecs.setLength(1, 5);
  assert.deepEqual([...words], [BigInt(base), 5n]);
  const address = mapping.address + 32 + IOVEC_SIZE;
  assert.equal(iovecs.addressOf(1), address);
  const pointer = iovecs.pointerTo(1);
  assert.equal(Deno.UnsafePointer.value(pointer), BigInt(address));
});

Deno.test("Iovecs: those that wait move to the front, and none lies beyond the room", () => {
  using mapping = new Mapping(4096);
  const iovecs = new Iovecs(mapping, 0, 4);
  for (let i = 0; i < 5; i++) iovecs.set(i, 1000 * i, i);
  assert.deepEqual(new Uint8Array(mapping.buffer, 64, 16), new Uint8Array(16));
  iovecs.moveToFront(2, 4);
  assert.deepEqual([iovecs.base(0), iovecs.length(1)], [2000, 3]);
});
