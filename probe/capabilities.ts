/**
 * The capabilities of KVM that Vireo uses.
 *
 * @module
 */
import { Cap, type CapName, REQUIRED } from "../ffi/kvm/capabilities.ts";
import { Kvm } from "../ffi/kvm/kvm.ts";
import type { Capability, KvmReport, Need } from "./report.ts";

/** What a machine does without, each with what for. */
const OPTIONAL: readonly (readonly [name: CapName, purpose: string])[] = [
  ["TSC_DEADLINE_TIMER", "timer"],
  ["READONLY_MEM", "interrupts over MMIO without exits"],
  ["REINJECT_CONTROL", "no burst of late ticks"],
  ["GET_TSC_KHZ", "the guest is told its TSC's frequency"],
  ["PMU_CAPABILITY", "performance counters hidden, or given"],
  ["EXIT_ON_EMULATION_FAILURE", "instructions that KVM refuses"],
];

const USED: readonly (readonly [CapName, string, Need])[] = [
  ...[...REQUIRED].map((row) => [...row, "needed"] as const),
  ...OPTIONAL.map((row) => [...row, "used if there"] as const),
];

/** Asks KVM. */
export function probeKvm(kvm: Kvm): KvmReport {
  const capabilities = USED.map(([name, purpose, need]): Capability => ({
    name,
    need,
    purpose,
    value: kvm.checkExtension(Cap[name]),
  }));
  // The constructor refuses any other version.
  const apiVersion = Kvm.API_VERSION;
  return {
    apiVersion,
    capabilities,
    maxVcpus: kvm.checkExtension(Cap.MAX_VCPUS),
  };
}
