/**
 * Makes a machine that goes on from a snapshot another than its twins.
 *
 * @module
 */
import { writeGeneration } from "../../guest/generation.ts";
import { tellOfGeneration } from "../acpi_events.ts";
import type { MachineParts } from "../build.ts";

/**
 * Changes the generation in the guest's memory, and tells a guest with ACPI. It
 * is to be done before its vCPUs run, and after KVM has their state.
 */
export function becomeAnother(parts: MachineParts): void {
  writeGeneration(parts.vcpus[0]!.start.memory);
  if (parts.acpi) tellOfGeneration(parts);
}
