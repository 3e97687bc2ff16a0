/**
 * What iovecs describe, as arrays: for who looks at the bytes, which is no hot
 * path.
 *
 * @module
 */
import { IOVEC_SIZE } from "./iovecs.ts";
import { viewOf } from "./memory/mmap.ts";

/** The memory of `count` iovecs at a host address. */
export function iovecParts(iovecs: number, count: number): Uint8Array[] {
  const words = new BigUint64Array(viewOf(iovecs, count * IOVEC_SIZE));
  return Array.from(
    { length: count },
    (_, i) =>
      new Uint8Array(viewOf(Number(words[2 * i]), Number(words[2 * i + 1]))),
  );
}

/** Bytes of all parts. */
export function bytesOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

/** The first `length` bytes of the parts. */
export function gather(
  parts: readonly Uint8Array[],
  length: number,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part.subarray(0, length - at), at);
    at = Math.min(length, at + part.length);
  }
  return bytes;
}

/** Puts bytes into the parts, as far as there are some. */
export function scatter(
  parts: readonly Uint8Array[],
  bytes: Uint8Array,
): void {
  let at = 0;
  for (const part of parts) {
    part.set(bytes.subarray(at, at + part.length));
    at += part.length;
  }
}
