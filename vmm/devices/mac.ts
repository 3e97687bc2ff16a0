/**
 * The MAC address of a network interface.
 *
 * @module
 */

/** What a message calls an address that {@linkcode isUnicast}. */
export const UNICAST = "a unicast address like 02:00:00:00:00:01";

/** Whether `text` is six bytes in hex, and not a multicast address. */
export function isUnicast(text: string): boolean {
  return /^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/i.test(text);
}

/**
 * The bytes of an address that {@linkcode isUnicast}. Without one, a locally
 * administered address that stays the same for the same `name`.
 */
export function macAddress(text: string | undefined, name: string): Uint8Array {
  if (text === undefined) return macFromName(name);
  return Uint8Array.from(text.split(":"), (byte) => parseInt(byte, 16));
}

function macFromName(name: string): Uint8Array {
  // FNV-1a: spreads short names over four bytes.
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) {
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  const mac = new Uint8Array([0x02, 0x56, 0, 0, 0, 0]);
  new DataView(mac.buffer).setUint32(2, hash);
  return mac;
}
