import assert from "node:assert/strict";
import { Layout, MiB } from "../layout.ts";
import { GuestMemory } from "../memory.ts";
import { MP_TABLE_MAX_CPUS, writeMpTable } from "./mptable.ts";

interface ParsedTable {
  localApic: number;
  entries: Uint8Array[];
}

function sum(bytes: Uint8Array): number {
  return bytes.reduce((total, byte) => total + byte, 0) & 0xff;
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** Finds and reads the table as Linux does (arch/x86/kernel/mpparse.c). */
function parse(memory: GuestMemory): ParsedTable {
  // smp_scan_config() looks at every paragraph of the last KiB below 640 KiB.
  const scanned = memory.bytes(639 * 1024, 1024);
  const found = [...scanned.keys()].find((at) =>
    at % 16 === 0 && text(scanned.subarray(at, at + 4)) === "_MP_"
  );
  assert(found !== undefined, "no floating pointer");
  const pointer = scanned.subarray(found, found + 16);
  assert.equal(pointer[8], 1, "length in paragraphs");
  assert.equal(sum(pointer), 0);

  const address = memory.view(639 * 1024 + found + 4, 4).getUint32(0, true);
  const length = memory.view(address + 4, 2).getUint16(0, true);
  const table = memory.bytes(address, length);
  const view = memory.view(address, length);
  assert.equal(text(table.subarray(0, 4)), "PCMP");
  assert.equal(table[6], 4, "revision");
  assert.equal(sum(table), 0);

  const entries: Uint8Array[] = [];
  for (let at = 44; at < length;) {
    const size = table[at] === 0 ? 20 : 8;
    entries.push(table.subarray(at, at + size));
    at += size;
  }
  assert.equal(entries.length, view.getUint16(34, true), "entry count");
  return { localApic: view.getUint32(36, true), entries };
}

function ofType(table: ParsedTable, type: number): Uint8Array[] {
  return table.entries.filter((entry) => entry[0] === type);
}

Deno.test("MP table: each vCPU has its APIC id, and the first one boots", () => {
  using memory = GuestMemory.allocate(MiB);
  writeMpTable(memory, 3);
  const table = parse(memory);
  assert.equal(table.localApic, 0xfee0_0000);
  const processors = ofType(table, 0);
  assert.deepEqual(processors.map((entry) => entry[1]), [0, 1, 2]);
  assert.deepEqual(processors.map((entry) => entry[3]), [3, 1, 1]);
});

Deno.test("MP table: every ISA interrupt arrives at its own pin, conforming to the bus", () => {
  using memory = GuestMemory.allocate(MiB);
  writeMpTable(memory, 2);
  const table = parse(memory);
  const [ioApic] = ofType(table, 2);
  assert(ioApic !== undefined);
  assert.deepEqual([...ioApic], [2, 2, 0x11, 1, 0, 0, 0xc0, 0xfe]);
  assert.deepEqual(
    ofType(table, 3).map((entry) => [...entry]),
    Array.from({ length: 24 }, (_, irq) => [3, 0, 0, 0, 0, irq, 2, irq]),
  );
  assert.deepEqual(ofType(table, 1).map((entry) => text(entry.subarray(2))), [
    "ISA   ",
  ]);
});

Deno.test("MP table: LINT0 is the PIC's, LINT1 the NMI", () => {
  using memory = GuestMemory.allocate(MiB);
  writeMpTable(memory, 1);
  assert.deepEqual(ofType(parse(memory), 4).map((entry) => [...entry]), [
    [4, 3, 0, 0, 0, 0, 0, 0],
    [4, 1, 0, 0, 0, 0, 0xff, 1],
  ]);
});

Deno.test("MP table: entry types ascend", () => {
  using memory = GuestMemory.allocate(MiB);
  writeMpTable(memory, 4);
  const types = parse(memory).entries.map((entry) => entry[0]!);
  assert.deepEqual(types, types.toSorted((a, b) => a - b));
});

Deno.test("MP table: it stays in the EBDA, at most vCPUs too, and more are refused", () => {
  using memory = GuestMemory.allocate(MiB);
  writeMpTable(memory, MP_TABLE_MAX_CPUS);
  assert.equal(ofType(parse(memory), 0).length, MP_TABLE_MAX_CPUS);
  assert(MP_TABLE_MAX_CPUS >= 32);
  const rest = [
    memory.bytes(0, Layout.EBDA),
    memory.bytes(0xa_0000, MiB - 0xa_0000),
  ];
  assert(rest.every((bytes) => bytes.every((byte) => byte === 0)));
  for (const cpus of [0, MP_TABLE_MAX_CPUS + 1, 255, NaN]) {
    assert.throws(() => writeMpTable(memory, cpus), {
      name: "VireoError",
      message: `cpus: ${cpus} don't fit into the MP table; 1 to 37 do`,
    });
  }
});
