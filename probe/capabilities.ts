/**
 * The capabilities of KVM that Vireo uses.
 *
 * @module
 */
import { Cap, Kvm } from "../ffi/kvm/kvm.ts";
import type { Capability, KvmReport, Need } from "./report.ts";

const { IRQCHIP, USER_MEMORY, IRQFD, PIT2, IOEVENTFD } = Cap;
const { TSC_DEADLINE_TIMER, EXIT_ON_EMULATION_FAILURE, MAX_VCPUS } = Cap;

/** `KVM_CAP_*`, by number; those of {@linkcode Cap}, and more. */
const USED: readonly (readonly [
  name: string,
  number: number,
  need: Need,
  purpose: string,
])[] = [
  ["USER_MEMORY", USER_MEMORY, "needed", "guest RAM"],
  ["IRQCHIP", IRQCHIP, "needed", "PIC, I/O APIC, local APIC"],
  ["PIT2", PIT2, "needed", "timer"],
  ["IOEVENTFD", IOEVENTFD, "needed", "doorbells without an exit"],
  ["IRQFD", IRQFD, "needed", "interrupts from a device's thread"],
  ["SET_TSS_ADDR", 4, "needed", "real mode on Intel"],
  ["SET_IDENTITY_MAP_ADDR", 37, "needed", "real mode on Intel"],
  ["EXT_CPUID", 7, "needed", "CPUID"],
  ["MP_STATE", 14, "needed", "halted vCPUs"],
  ["VCPU_EVENTS", 41, "needed", "exceptions"],
  ["TSC_DEADLINE_TIMER", TSC_DEADLINE_TIMER, "used if there", "timer"],
  [
    "EXIT_ON_EMULATION_FAILURE",
    EXIT_ON_EMULATION_FAILURE,
    "used if there",
    "instructions that KVM refuses",
  ],
];

/** Asks KVM. */
export function probeKvm(kvm: Kvm): KvmReport {
  const capabilities = USED.map((
    [name, number, need, purpose],
  ): Capability => ({
    name,
    need,
    purpose,
    value: kvm.checkExtension(number),
  }));
  // The constructor refuses any other version.
  const apiVersion = Kvm.API_VERSION;
  return { apiVersion, capabilities, maxVcpus: kvm.checkExtension(MAX_VCPUS) };
}
