/**
 * SHA-256, in hexadecimal.
 *
 * @module
 */
import type * as NodeCrypto from "node:crypto";
import { nodeModule } from "./node_module.ts";

/** Of a text, by a thread of Deno's. */
export async function sha256(text: string): Promise<string> {
  const bytes = new TextEncoder().encode(text);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

/** Of a text, at once. It loads `node:crypto`, which takes 20 ms. */
export function sha256Now(text: string): string {
  const { createHash } = nodeModule<typeof NodeCrypto>("node:crypto");
  return createHash("sha256").update(text).digest("hex");
}
