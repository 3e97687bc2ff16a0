/**
 * The payload: our freestanding guest program, as a built ELF.
 *
 * @module
 */

/** Where the payload's ELF image is; it boots as a 64-bit Linux or a PVH kernel. */
export const payloadPath: URL = new URL("./payload.elf", import.meta.url);

/**
 * The bytes of the payload's ELF image.
 *
 * @returns The whole file, from disk or from where this module was loaded.
 */
export async function readPayload(): Promise<Uint8Array<ArrayBuffer>> {
  if (payloadPath.protocol === "file:") return await Deno.readFile(payloadPath);
  const response = await fetch(payloadPath);
  if (!response.ok) throw new Error(`fetch ${payloadPath}: ${response.status}`);
  return await response.bytes();
}
