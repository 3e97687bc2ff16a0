/**
 * Which pages of a machine's RAM its own restore reads and writes, in the main
 * isolate: KVM for a vCPU's registers, and Vireo.
 *
 * @module
 */
import { Layout } from "../../../guest/layout.ts";
import type { SavedMachine } from "../saved_machine.ts";

/** MSRs that hold an address which KVM writes to (Documentation/virt/kvm/x86/msr.rst). */
const KVM_MSRS = [
  ...[0x11, 0x12], // wall clock and system time, as they were once
  ...[0x4b56_4d00, 0x4b56_4d01], // and as they are
  ...[0x4b56_4d02, 0x4b56_4d03, 0x4b56_4d04], // async PF, steal time, PV EOI
];
/** Below the address: whether it counts, and how. */
const FLAGS = 0x3fn;

/** Guest addresses, some of them perhaps not of RAM. */
export function touchedAddresses({ vcpus }: SavedMachine): number[] {
  const msrs = vcpus.flatMap(({ msrs }) => msrs)
    .filter(([index, value]) => KVM_MSRS.includes(index) && value !== 0n);
  return [
    Layout.GENERATION,
    ...msrs.map(([, value]) => Number(value & ~FLAGS)),
  ];
}
