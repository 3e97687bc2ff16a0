/**
 * The checksum of a RAM's pieces, which a restore does not ask for.
 *
 * @module
 */
import type * as Zlib from "node:zlib";
import { nodeModule } from "../../ffi/node_module.ts";

let known: typeof Zlib.crc32 | undefined;

/** The CRC-32 of `bytes`, as of gzip. */
export function crc32(bytes: Uint8Array): number {
  known ??= nodeModule<typeof Zlib>("node:zlib").crc32;
  return known(bytes);
}
