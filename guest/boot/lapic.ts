/**
 * The local interrupt pins as firmware leaves them: virtual wire mode (Intel
 * MP specification 1.4, §3.6.2.1). Register offsets and bits are those of the
 * Intel SDM, volume 3, "Local Vector Table".
 *
 * @module
 */

/** Offsets in the APIC's register page, as `KVM_GET_LAPIC` gives it. */
export const LapicRegister = { LVT_LINT0: 0x350, LVT_LINT1: 0x360 } as const;

/** Delivery modes, bits 10 to 8 of a local vector table entry. */
const DeliveryMode = { NMI: 4, EXT_INT: 7 } as const;
const DELIVERY_MODE_SHIFT = 8;

/**
 * Sets LINT0 to external interrupts (the PIC) and LINT1 to NMI, both
 * unmasked, so that PIC interrupts arrive before the guest programs any APIC,
 * or when it never does.
 */
export function setLocalInterrupts(lapic: DataView): void {
  const set = (register: number, mode: number) =>
    lapic.setUint32(register, mode << DELIVERY_MODE_SHIFT, true);
  set(LapicRegister.LVT_LINT0, DeliveryMode.EXT_INT);
  set(LapicRegister.LVT_LINT1, DeliveryMode.NMI);
}
