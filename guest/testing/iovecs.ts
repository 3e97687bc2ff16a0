/**
 * For tests: what a device hands to the host kernel, checked. A fake backend
 * reads its iovecs through this, so an address that isn't the guest's RAM is
 * an exception in the test and not a stray write.
 *
 * @module
 */
import { IOVEC_SIZE } from "../../ffi/iovecs.ts";
import type { GuestMemory } from "../memory.ts";

/** One `struct iovec`. */
export interface Iovec {
  /** Host address. */
  base: number;
  /** Length in bytes. */
  length: number;
}

/** The `count` iovecs at host address `iovecs`. */
export function readIovecs(
  iovecs: number | Deno.PointerValue,
  count: number,
): Iovec[] {
  const pointer = typeof iovecs === "number"
    ? Deno.UnsafePointer.create(BigInt(iovecs))
    : iovecs;
  if (pointer === null) throw new Error("iovecs at the null address");
  const view = new Deno.UnsafePointerView(pointer);
  return Array.from({ length: count }, (_, i) => ({
    base: Number(view.getBigUint64(i * IOVEC_SIZE)),
    length: Number(view.getBigUint64(i * IOVEC_SIZE + 8)),
  }));
}

/**
 * The guest bytes that an iovec names: a view, not a copy.
 *
 * @throws {Error} it is empty or not in RAM
 */
export function guestBytes(
  memory: GuestMemory,
  { base, length }: Iovec,
): Uint8Array<ArrayBuffer> {
  for (const region of memory.regions) {
    const start = base - region.hostAddress;
    if (length > 0 && start >= 0 && start + length <= region.size) {
      return region.u8.subarray(start, start + length);
    }
  }
  throw new Error(
    `the host was given 0x${base.toString(16)} + ${length}: not guest RAM`,
  );
}

/** Copies `source` into `targets` one after the other; bytes copied. */
export function scatter(
  source: Uint8Array,
  targets: readonly Uint8Array[],
): number {
  let done = 0;
  for (const target of targets) {
    const part = source.subarray(done, done + target.length);
    target.set(part);
    done += part.length;
  }
  return done;
}

/** The bytes of `sources` one after the other. */
export function gather(
  sources: readonly Uint8Array[],
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(sources.reduce((n, s) => n + s.length, 0));
  let done = 0;
  for (const source of sources) {
    bytes.set(source, done);
    done += source.length;
  }
  return bytes;
}
