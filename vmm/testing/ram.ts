/**
 * For tests: how much of a guest's RAM the host keeps.
 *
 * @module
 */
import assert from "node:assert/strict";
import { advise } from "../../ffi/memory/mmap.ts";
import {
  mappingsOfProcess,
  type ProcessMapping,
} from "../../ffi/testing/mmap.ts";

/** From Linux 5.14 on: pages are made present, and keep what is in them. */
const MADV_POPULATE_WRITE = 23;

/** Guest RAM of `size` bytes: the only mapping of this process of that size. */
export function ramOf(size: number): ProcessMapping {
  const mapping = mappingsOfProcess().find((mapping) => mapping.size === size);
  assert.ok(mapping, `no mapping of ${size} bytes`);
  return mapping;
}

/** Makes all of it resident, whatever the guest has touched of it. */
export function makeResident({ start, size }: ProcessMapping): void {
  assert.ok(advise(start, size, MADV_POPULATE_WRITE));
}

/**
 * Bytes that the host keeps for it: `Rss` of /proc/self/smaps. It may have
 * become several mappings since.
 */
export function residentBytes({ start, size }: ProcessMapping): number {
  let inside = false;
  let sum = 0;
  for (const line of Deno.readTextFileSync("/proc/self/smaps").split("\n")) {
    const range = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
    if (range) {
      const [from, to] = range.slice(1).map((hex) => parseInt(hex, 16));
      inside = from! >= start && to! <= start + size;
    }
    const rss = /^Rss: +(\d+) kB/.exec(line);
    if (inside && rss) sum += Number(rss[1]) * 1024;
  }
  return sum;
}
