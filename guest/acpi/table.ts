/**
 * What all ACPI tables have in common: the header and the checksum.
 *
 * @module
 */

/** `DESCRIPTION_HEADER` (ACPI 6.3, §5.2.6). */
const Header = {
  SIGNATURE: 0,
  LENGTH: 4,
  REVISION: 8,
  CHECKSUM: 9,
  OEM_ID: 10,
  OEM_TABLE_ID: 16,
  OEM_REVISION: 24,
  CREATOR_ID: 28,
  CREATOR_REVISION: 32,
  SIZE: 36,
} as const;

/** Bytes of a table's header. */
export const TABLE_HEADER_SIZE: number = Header.SIZE;

/** Six characters that say whose tables these are. */
export const OEM_ID = "VIREO ";
const OEM_TABLE_ID = "VIREOVMM";
const CREATOR_ID = "VIRE";
/** Of the tables' content, and of their creator. */
const REVISION = 1;

/**
 * A complete table: header, then `body`.
 *
 * @param signature four characters
 * @param revision of the table's format
 * @param body what follows the header
 */
export function table(
  signature: string,
  revision: number,
  body: ArrayLike<number>,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(Header.SIZE + body.length);
  const view = new DataView(bytes.buffer);
  putText(bytes, Header.SIGNATURE, signature);
  view.setUint32(Header.LENGTH, bytes.length, true);
  bytes[Header.REVISION] = revision;
  putText(bytes, Header.OEM_ID, OEM_ID);
  putText(bytes, Header.OEM_TABLE_ID, OEM_TABLE_ID);
  view.setUint32(Header.OEM_REVISION, REVISION, true);
  putText(bytes, Header.CREATOR_ID, CREATOR_ID);
  view.setUint32(Header.CREATOR_REVISION, REVISION, true);
  bytes.set(body, Header.SIZE);
  bytes[Header.CHECKSUM] = checksum(bytes);
  return bytes;
}

/** Puts ASCII text at an offset. */
export function putText(target: Uint8Array, at: number, text: string): void {
  target.set(new TextEncoder().encode(text), at);
}

/** The byte that makes the sum of all of them 0 modulo 256. */
export function checksum(bytes: Iterable<number>): number {
  let sum = 0;
  for (const byte of bytes) sum += byte;
  return -sum & 0xff;
}
