/**
 * Whether a kernel can be told about its devices by ACPI tables.
 *
 * @module
 */
import type { GuestMemory } from "../memory.ts";

/** What a guest looks for (ACPI 6.3, §5.2.5.3); who does is one with ACPI. */
export const RSDP_SIGNATURE = "RSD PTR ";

/**
 * True when the kernel in guest memory looks for an RSDP: code that does has
 * its signature as a string. Linux has it with `CONFIG_ACPI` only, and then
 * its virtio-mmio driver takes devices from the DSDT as well. A bzImage that
 * unpacks itself has the signature in what unpacks: memory that tables are in
 * is no place for the kernel.
 *
 * Takes about a millisecond per MiB.
 *
 * @param kernel where it is: from `lowest` up to `end`
 */
export function kernelHasAcpi(
  memory: GuestMemory,
  { lowest, end }: { lowest: number; end: number },
): boolean {
  const signature = new TextEncoder().encode(RSDP_SIGNATURE);
  return includes(memory.bytes(lowest, end - lowest), signature);
}

/** `indexOf` for one byte is quick: it runs to the next "R" in C++. */
function includes(bytes: Uint8Array, pattern: Uint8Array): boolean {
  const first = pattern[0]!;
  for (let at = bytes.indexOf(first); at >= 0;) {
    if (pattern.every((byte, index) => bytes[at + index] === byte)) return true;
    at = bytes.indexOf(first, at + 1);
  }
  return false;
}
