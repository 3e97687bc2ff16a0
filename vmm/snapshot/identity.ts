/**
 * Makes a machine that goes on from a snapshot another than its twins.
 *
 * @module
 */
import { VmEvents } from "../../ffi/kvm/vm_events.ts";
import { writeGeneration } from "../../guest/generation.ts";
import { Gsi } from "../../guest/layout.ts";
import type { MachineParts } from "../build.ts";

/**
 * Changes the generation in the guest's memory, and tells a guest with ACPI. It
 * is to be done before its vCPUs run, and after KVM has their state.
 */
export function becomeAnother(parts: MachineParts): void {
  writeGeneration(parts.vcpus[0]!.start.memory);
  if (parts.powerButton === undefined) return; // without ACPI
  const vm = new VmEvents(parts.vmFd);
  vm.irqLine(Gsi.GENERATION, true);
  vm.irqLine(Gsi.GENERATION, false);
}
