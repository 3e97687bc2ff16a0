/**
 * The generation of a machine: 128 bits in its memory by which a guest notices
 * that it goes on as another than it was, from a snapshot. What it has drawn at
 * random before, its twin has as well.
 *
 * @module
 */
import { viewOf } from "../ffi/memory/mmap.ts";
import { Layout } from "./layout.ts";
import type { RegionHandle } from "./memory.ts";

const SIZE = 16;

/** Makes this memory that of another machine than any before. */
export function writeGeneration(regions: readonly RegionHandle[]): void {
  const at = regions[0]!.hostAddress + Layout.GENERATION;
  // Nothing else is looked at in a machine that goes on from a snapshot.
  crypto.getRandomValues(new Uint8Array(viewOf(at, SIZE)));
}

/** For a prepared kernel that has no ACPI to ask where it is. */
export const GENERATION_WORD: string = `random.vm_generation=0x${
  Layout.GENERATION.toString(16)
}`;
