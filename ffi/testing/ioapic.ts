/** For tests: the I/O APIC, as a guest sets it up. */
import { _IOR, _IOWR, ioctlBuffer } from "../ioctl.ts";
import { KVMIO } from "../kvm/api.ts";

// struct kvm_irqchip (KVM API §4.26): the redirection table of the I/O APIC.
const IRQCHIP_SIZE = 520, IOAPIC = 2, REDIRECTIONS = 32, MASKED = 1 << 16;
const KVM_GET_IRQCHIP = _IOWR(KVMIO, 0x62, IRQCHIP_SIZE);
const KVM_SET_IRQCHIP = _IOR(KVMIO, 0x63, IRQCHIP_SIZE);

/** Sends each rise of pin `gsi` to the local APIC as `vector`. */
export function unmask(vmFd: number, gsi: number, vector = 0x40): void {
  redirect(vmFd, gsi, vector);
}

/** Sends it nowhere. */
export function mask(vmFd: number, gsi: number): void {
  redirect(vmFd, gsi, MASKED);
}

function redirect(vmFd: number, gsi: number, entry: number): void {
  const chip = new DataView(new ArrayBuffer(IRQCHIP_SIZE));
  chip.setUint32(0, IOAPIC, true);
  ioctlBuffer(vmFd, KVM_GET_IRQCHIP, chip, "KVM_GET_IRQCHIP");
  chip.setUint32(REDIRECTIONS + 8 * gsi, entry, true);
  ioctlBuffer(vmFd, KVM_SET_IRQCHIP, chip, "KVM_SET_IRQCHIP");
}
