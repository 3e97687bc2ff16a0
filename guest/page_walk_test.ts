/** Page tables, as the CPU reads them. */
import assert from "node:assert/strict";
import { MiB } from "./layout.ts";
import { GuestMemory } from "./memory.ts";
import { type PagingRegisters, walkPages } from "./page_walk.ts";

const ROOT = 0x1000;
const PG = 1n << 31n, PSE = 1n << 4n, PAE = 1n << 5n, LA57 = 1n << 12n;
const LMA = 1n << 10n;
const LONG = { cr0: PG, cr3: BigInt(ROOT), cr4: PAE, efer: LMA };
/** Present, writable, user; a large page; no code. */
const P = 1n, W = 2n, U = 4n, LARGE = 0x80n, NX = 1n << 63n;

function tables(entries: Record<number, bigint>, size: 4 | 8 = 8) {
  const memory = GuestMemory.allocate(MiB);
  for (const [address, value] of Object.entries(entries)) {
    const view = memory.view(Number(address), size);
    if (size === 8) view.setBigUint64(0, value, true);
    else view.setUint32(0, Number(value), true);
  }
  return {
    walk: (linear: bigint, registers: PagingRegisters = LONG) =>
      walkPages(memory, registers, linear),
    [Symbol.dispose]: () => memory.free(),
  };
}

Deno.test("page walk: four levels, and what all of them allow", () => {
  const linear = 0xffff_ffff_8123_4567n;
  using memory = tables({
    [ROOT + 511 * 8]: 0x2000n | P | W | U,
    [0x2000 + 510 * 8]: 0x3000n | P | W,
    [0x3000 + 9 * 8]: 0x4000n | P | W | U | NX,
    [0x4000 + 0x34 * 8]: 0x7_1234_5000n | P | U,
  });
  const { entries, ...found } = memory.walk(linear);
  assert.deepEqual(found, {
    physical: 0x7_1234_5567,
    pageSize: 4096,
    user: false,
    writable: false,
    executable: false,
  });
  assert.deepEqual(entries.map(({ table }) => table), [
    ...["PML4", "PDPT", "PD", "PT"],
  ]);
  assert.deepEqual(entries[1], {
    table: "PDPT",
    address: 0x2000 + 510 * 8,
    value: 0x3000n | P | W,
  });
});

Deno.test("page walk: pages of 2 MiB and 1 GiB", () => {
  using memory = tables({
    [ROOT]: 0x2000n | P | W | U,
    [0x2000]: 0x3000n | P | W | U,
    // The bits below the page are PAT and others, no address.
    [0x3000 + 8]: 0x4060_1000n | LARGE | P | W | U,
    [0x2000 + 8]: 0x8000_1000n | LARGE | P,
  });
  const two = memory.walk(0x20_0123n);
  assert.equal(two.physical, 0x4060_0123);
  assert.deepEqual([two.pageSize, two.writable, two.user], [
    ...[2 * MiB, true, true],
  ]);
  const giant = memory.walk(0x4012_3456n);
  assert.deepEqual([giant.physical, giant.pageSize], [0x8012_3456, 1 << 30]);
});

Deno.test("page walk: what is not there, not canonical, or not in RAM, leads nowhere", () => {
  using memory = tables({
    [ROOT]: 0x2000n | P,
    [0x2000]: 0x3000n, // not present
    [0x2000 + 8]: 0x7fff_f000n | P,
  });
  const absent = memory.walk(0n);
  assert.deepEqual([absent.physical, absent.entries.length], [undefined, 2]);
  assert.equal(memory.walk(0x4000_0000n).physical, undefined);
  const wild = memory.walk(0x8000_0000_0000n);
  assert.deepEqual([wild.physical, wild.entries], [undefined, []]);
  const nowhere = { ...LONG, cr3: 0xf_ffff_ffff_f000n };
  assert.equal(memory.walk(0n, nowhere).physical, undefined);
});

Deno.test("page walk: five levels, PAE, 32 bits, and none", () => {
  using memory = tables({
    [ROOT + 8]: 0x2000n | P | W,
    [0x2000]: 0x3000n | P | W,
    [0x3000]: 0x4000n | P | W,
    [0x4000]: 0x5000n | P | W,
    [0x5000]: 0x6000n | P | W,
    // PAE: its root has four entries without rights, and is aligned to 32.
    [0x7020 + 8]: 0x8000n | P,
    [0x8000 + 8]: 0x40_0000n | LARGE | P | W | U,
  });
  const la57 = { ...LONG, cr4: PAE | LA57 };
  assert.equal(memory.walk(0x1_0000_0000_0042n, la57).physical, 0x6042);
  const pae = { ...LONG, cr3: 0x7020n, efer: 0n };
  const found = memory.walk(0x4020_0007n, pae);
  assert.deepEqual([found.physical, found.user], [0x40_0007, true]);
  assert.equal(memory.walk(0x1_4020_0007n, pae).physical, undefined);
  const off = { ...LONG, cr0: 0n };
  assert.equal(memory.walk(0x1234n, off).physical, 0x1234);

  using small = tables({
    [ROOT + 4]: 0x2000n | P | W,
    [0x2000 + 8]: 0x9000n | P | W | U,
    [ROOT + 8]: 0x0080_0000n | 1n << 13n | LARGE | P, // PSE-36
  }, 4);
  const registers = { ...LONG, cr4: PSE, efer: 0n };
  assert.equal(small.walk(0x40_2010n, registers).physical, 0x9010);
  const large = small.walk(0x81_0010n, registers);
  assert.deepEqual([large.physical, large.pageSize], [
    ...[0x1_0081_0010, 4 * MiB],
  ]);
});
