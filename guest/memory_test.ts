/** Guest RAM: the one place that turns guest addresses into bytes. */
import assert from "node:assert/strict";
import { VireoError } from "../ffi/errno.ts";
import { mappingsOfProcess } from "../ffi/testing/mmap.ts";
import { GiB, Layout, MiB } from "./layout.ts";
import { GuestAddressError, GuestMemory } from "./memory.ts";

const HOLE = Layout.MMIO_HOLE;
const HIGH = Layout.RAM_ABOVE_4G;

/** What no range of bytes may be. */
const NEVER: [number, number][] = [
  [NaN, 1],
  [0, NaN],
  [NaN, NaN],
  [-1, 1],
  [-1, 2],
  [-4096, 8192],
  [0, 0],
  [0, -1],
  [0, -Infinity],
  [Infinity, 1],
  [-Infinity, 1],
  [0, Infinity],
  [2 ** 53, 1],
  [2 ** 63, 1],
  [2 ** 64, 1],
  [2 ** 64 - 2048, 4096],
  [0, 2 ** 32],
  [0, 2 ** 64],
];

Deno.test("GuestMemory: a range is in RAM when all of its bytes are", () => {
  using memory = GuestMemory.allocate(MiB, { hugePages: false });
  const [region] = memory.regions;
  for (const [address, length] of [[0, 1], [0, MiB], [MiB - 1, 1], [5, 7]]) {
    assert.equal(memory.find(address!, length!), region);
    const host = region!.hostAddress + address!;
    assert.equal(memory.hostAddress(address!, length!), host);
  }
  const bad = [[MiB, 1], [MiB - 1, 2], [0, MiB + 1], [HOLE, 1], [HIGH, 1]];
  for (const [address, length] of [...bad, ...NEVER]) {
    const text = `${address} + ${length}`;
    assert.equal(memory.find(address!, length!), undefined, text);
    assert.equal(memory.hostAddress(address!, length!), 0, text);
  }
});

Deno.test("GuestMemory: beyond 3 GiB it goes on at 4 GiB, and nothing spans the hole", () => {
  using memory = GuestMemory.allocate(5 * GiB, { hugePages: false });
  assert.deepEqual(
    memory.regions.map(({ guestAddress, size, end }) => [
      guestAddress,
      size,
      end,
    ]),
    [[0, HOLE, HOLE], [HIGH, 2 * GiB, HIGH + 2 * GiB]],
  );
  assert.equal(memory.size, 5 * GiB);
  const [low, high] = memory.regions;
  const end = HIGH + 2 * GiB;
  const table: [number, number, typeof low][] = [
    [HOLE - 1, 1, low],
    [0, HOLE, low],
    [HIGH, 1, high],
    [HIGH, 2 * GiB, high],
    [end - 1, 1, high],
    [HOLE - 1, 2, undefined],
    [HOLE, 1, undefined],
    [HIGH - 1, 1, undefined],
    [HIGH - 1, 2, undefined],
    [HOLE - 1, GiB + 2, undefined],
    [0, end, undefined],
    [end - 1, 2, undefined],
    [end, 1, undefined],
    [HIGH, 2 * GiB + 1, undefined],
    ...NEVER.map(([a, n]): [number, number, undefined] => [a, n, undefined]),
  ];
  for (const [address, length, region] of table) {
    const text = `0x${address.toString(16)} + ${length}`;
    assert.equal(memory.find(address, length), region, text);
    const host = region
      ? region.hostAddress + (address - region.guestAddress)
      : 0;
    assert.equal(memory.hostAddress(address, length), host, text);
  }
});

Deno.test("GuestMemory: bytes, view and write are the same memory", () => {
  using memory = GuestMemory.allocate(4 * GiB, { hugePages: false });
  for (const address of [0, 12345, HOLE - 8, HIGH, HIGH + GiB - 8]) {
    memory.write(address, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    assert.equal(memory.view(address, 8).getUint32(4, true), 0x08070605);
    memory.bytes(address + 7, 1)[0] = 0xff;
    assert.equal(memory.view(address, 8).getUint8(7), 0xff);
  }
  const region = memory.find(HIGH, 1)!;
  assert.equal(region.u16[0], 0x0201);
  assert.equal(region.u32[0], 0x04030201);
});

Deno.test("GuestMemory: bytes outside RAM are an error that names the range", () => {
  using memory = GuestMemory.allocate(MiB, { hugePages: false });
  const far = { name: "GuestAddressError", message: /0xc0000000 \+ 0x10 / };
  assert.throws(() => memory.bytes(HOLE, 16), far);
  assert.throws(() => memory.view(MiB - 1, 2), GuestAddressError);
  assert.throws(
    () => memory.write(MiB - 1, new Uint8Array(2)),
    GuestAddressError,
  );
  assert.equal(memory.bytes(2 ** 60, 0).length, 0, "no bytes are nowhere");
});

Deno.test("GuestMemory: RAM is zero at first", () => {
  using memory = GuestMemory.allocate(MiB);
  assert.equal(memory.bytes(0, MiB).every((byte) => byte === 0), true);
});

Deno.test("GuestMemory: attach sees the same bytes and takes plain handles", () => {
  using memory = GuestMemory.allocate(4 * GiB, { hugePages: false });
  const other = GuestMemory.attach(structuredClone(memory.handles()));
  memory.write(HIGH + 5, Uint8Array.of(42));
  assert.equal(other.bytes(HIGH + 5, 1)[0], 42);
  assert.equal(other.size, memory.size);
  other.free(); // not its own: nothing happens
  assert.equal(memory.bytes(HIGH + 5, 1)[0], 42);
});

Deno.test("GuestMemory: a host without room says how much was asked for", () => {
  assert.throws(
    () => GuestMemory.allocate(2 ** 52),
    (error: Error) =>
      error instanceof VireoError && /no room for \d+ MiB/.test(error.message),
  );
  assert.throws(() => GuestMemory.allocate(0), RangeError);
});

Deno.test("GuestMemory: allocating and freeing leaves no mapping", () => {
  const addresses: number[] = [];
  for (let i = 0; i < 50; i++) {
    const memory = GuestMemory.allocate(4 * GiB);
    addresses.push(...memory.regions.map((region) => region.hostAddress));
    memory.free();
    memory.free(); // does nothing
  }
  const large = mappingsOfProcess().filter(({ size }) => size >= GiB)
    .filter(({ start }) => addresses.includes(start));
  assert.deepEqual(large, []);
});
