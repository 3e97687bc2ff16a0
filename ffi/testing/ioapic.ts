/** For tests: the I/O APIC, as a guest sets it up. */
import {
  getIrqchip,
  IOAPIC_MASKED,
  IOAPIC_REDIRECTIONS,
  Irqchip,
  setIrqchip,
} from "../kvm/vm_events.ts";

/** Sends each rise of pin `gsi` to the local APIC as `vector`. */
export function unmask(vmFd: number, gsi: number, vector = 0x40): void {
  redirect(vmFd, gsi, vector);
}

/** Sends it nowhere. */
export function mask(vmFd: number, gsi: number): void {
  redirect(vmFd, gsi, IOAPIC_MASKED);
}

function redirect(vmFd: number, gsi: number, entry: number): void {
  const chip = getIrqchip(vmFd, Irqchip.IOAPIC);
  new DataView(chip.buffer)
    .setUint32(IOAPIC_REDIRECTIONS + 8 * gsi, entry, true);
  setIrqchip(vmFd, chip);
}
