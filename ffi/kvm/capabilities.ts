/**
 * `KVM_CAP_*`: what a KVM may have or not (KVM API §4.4).
 *
 * @module
 */
import { VireoError } from "../error.ts";

/** Numbers of the capabilities that Vireo asks for. */
export const Cap = {
  IRQCHIP: 0,
  USER_MEMORY: 3,
  SET_TSS_ADDR: 4,
  EXT_CPUID: 7,
  MP_STATE: 14,
  REINJECT_CONTROL: 24,
  IRQ_ROUTING: 25,
  IRQFD: 32,
  PIT2: 33,
  IOEVENTFD: 36,
  SET_IDENTITY_MAP_ADDR: 37,
  VCPU_EVENTS: 41,
  GET_TSC_KHZ: 61,
  MAX_VCPUS: 66,
  TSC_DEADLINE_TIMER: 72,
  READONLY_MEM: 81,
  IOEVENTFD_ANY_LENGTH: 122,
  NESTED_STATE: 157,
  X86_USER_SPACE_MSR: 188,
  SET_GUEST_DEBUG2: 195,
  EXIT_ON_EMULATION_FAILURE: 204,
  PMU_CAPABILITY: 212,
} as const;

/** What a capability is called behind `KVM_CAP_`. */
export type CapName = keyof typeof Cap;

/** Those that every machine takes, each with what for. */
export const REQUIRED: ReadonlyMap<CapName, string> = new Map([
  ["USER_MEMORY", "guest RAM"],
  ["IRQCHIP", "PIC, I/O APIC, local APIC"],
  ["PIT2", "timer"],
  ["IOEVENTFD", "doorbells without an exit"],
  ["IOEVENTFD_ANY_LENGTH", "doorbells on PCI"],
  ["IRQFD", "interrupts from a device's thread"],
  ["IRQ_ROUTING", "interrupt messages on PCI"],
  ["SET_TSS_ADDR", "real mode on Intel"],
  ["SET_IDENTITY_MAP_ADDR", "real mode on Intel"],
  ["EXT_CPUID", "CPUID"],
  ["MP_STATE", "halted vCPUs"],
  ["VCPU_EVENTS", "exceptions"],
]);

/** A KVM to ask: the system, or a virtual machine. */
export interface Extensible {
  /** 0 when the extension is missing, else its value. */
  checkExtension(cap: number): number;
}

/**
 * Asks for all that a machine can't do without.
 *
 * @throws {VireoError} each capability that is missing, by name
 */
export function requireCapabilities(kvm: Extensible): void {
  const missing = [...REQUIRED].filter(([name]) =>
    kvm.checkExtension(Cap[name]) <= 0
  );
  if (missing.length === 0) return;
  const names = missing.map(([name, what]) => `no KVM_CAP_${name} (${what})`);
  throw new VireoError(
    `this KVM has ${names.join(", ")}; a newer kernel is needed on this host`,
  );
}

/** `KVM_CAP_...`, or the number of one that has no name here. */
export function capName(cap: number): string {
  const found = Object.entries(Cap).find(([, number]) => number === cap);
  return found ? `KVM_CAP_${found[0]}` : `KVM_CAP ${cap}`;
}
