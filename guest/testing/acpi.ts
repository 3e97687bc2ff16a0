/**
 * For tests: reads ACPI tables out of guest memory, as a guest does.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Layout } from "../layout.ts";
import type { GuestMemory } from "../memory.ts";

const PARAGRAPH = 16;
const X_DSDT = 140;

/**
 * Every table by its signature, found from the RSDP in the BIOS area, with
 * all checksums checked.
 */
export function readAcpiTables(memory: GuestMemory): Map<string, Uint8Array> {
  const tables = new Map<string, Uint8Array>();
  const read = (address: bigint): Uint8Array => {
    const at = Number(address);
    const table = memory.bytes(at, memory.view(at + 4, 4).getUint32(0, true));
    const signature = text(table.subarray(0, 4));
    assert.equal(sum(table), 0, `checksum of ${signature}`);
    assert(!tables.has(signature));
    tables.set(signature, table);
    return table;
  };
  const xsdt = read(findRsdp(memory));
  for (let at = 36; at < xsdt.length; at += 8) read(u64(xsdt, at));
  const fadt = tables.get("FACP");
  if (fadt) read(u64(fadt, X_DSDT));
  return tables;
}

/** The address of the XSDT, from the RSDP. */
function findRsdp(memory: GuestMemory): bigint {
  for (let at = Layout.ACPI; at < Layout.HIGH_MEMORY; at += PARAGRAPH) {
    const rsdp = memory.bytes(at, 36);
    if (text(rsdp.subarray(0, 8)) !== "RSD PTR ") continue;
    assert.equal(sum(rsdp.subarray(0, 20)), 0, "checksum of ACPI 1.0");
    assert.equal(sum(rsdp), 0, "extended checksum");
    assert.equal(rsdp[15], 2, "revision");
    return u64(rsdp, 24);
  }
  assert.fail("no RSDP in the BIOS area");
}

function sum(bytes: Uint8Array): number {
  return bytes.reduce((total, byte) => total + byte, 0) & 0xff;
}

function u64(bytes: Uint8Array, at: number): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return view.getBigUint64(at, true);
}

/** ASCII. */
export function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
