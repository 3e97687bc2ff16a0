/**
 * Where ACPI starts: the root system description pointer, and the list of
 * tables that it points to.
 *
 * @module
 */
import { RSDP_SIGNATURE } from "./support.ts";
import { checksum, OEM_ID, putText, table } from "./table.ts";

/** `RSDP` (ACPI 6.3, §5.2.5.3). */
const Rsdp = {
  SIGNATURE: 0,
  CHECKSUM: 8,
  OEM_ID: 9,
  REVISION: 15,
  LENGTH: 20,
  XSDT_ADDRESS: 24,
  EXTENDED_CHECKSUM: 32,
  SIZE: 36,
} as const;

/** Bytes of the RSDP. */
export const RSDP_SIZE: number = Rsdp.SIZE;

/** The part that ACPI 1.0 knew has a checksum of its own. */
const ACPI_1_SIZE = 20;
const REVISION = 2;
const XSDT_REVISION = 1;

/** The RSDP; there is no RSDT, which only ACPI 1.0 needs. */
export function rsdp(xsdtAddress: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(Rsdp.SIZE);
  const view = new DataView(bytes.buffer);
  putText(bytes, Rsdp.SIGNATURE, RSDP_SIGNATURE);
  putText(bytes, Rsdp.OEM_ID, OEM_ID);
  bytes[Rsdp.REVISION] = REVISION;
  view.setUint32(Rsdp.LENGTH, Rsdp.SIZE, true);
  view.setBigUint64(Rsdp.XSDT_ADDRESS, BigInt(xsdtAddress), true);
  bytes[Rsdp.CHECKSUM] = checksum(bytes.subarray(0, ACPI_1_SIZE));
  bytes[Rsdp.EXTENDED_CHECKSUM] = checksum(bytes);
  return bytes;
}

/** The extended system description table (§5.2.8): the tables' addresses. */
export function xsdt(tables: readonly number[]): Uint8Array<ArrayBuffer> {
  const addresses = BigUint64Array.from(tables, BigInt);
  return table("XSDT", XSDT_REVISION, new Uint8Array(addresses.buffer));
}
