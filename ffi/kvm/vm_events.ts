/**
 * What a running virtual machine is told, and tells: interrupts and doorbells.
 * Devices' threads need no more of KVM than that.
 *
 * @module
 */
import { _IOR, _IOW, _IOWR, ioctlBuffer } from "../ioctl.ts";
import { libc } from "../libc.ts";
import { KVMIO } from "./api.ts";

/** Bytes of `struct kvm_irqchip`: its number, padding, 512 of the chip. */
export const IRQCHIP_SIZE = 520;

const KVM_IRQ_LINE = _IOW(KVMIO, 0x61, 8);
const KVM_GET_IRQCHIP = _IOWR(KVMIO, 0x62, IRQCHIP_SIZE);
const KVM_SET_IRQCHIP = _IOR(KVMIO, 0x63, IRQCHIP_SIZE);
const KVM_IRQFD = _IOW(KVMIO, 0x76, 32);
const KVM_IOEVENTFD = _IOW(KVMIO, 0x79, 64);

/** `KVM_IRQCHIP_*`: the two halves of the PIC, and the I/O APIC. */
export const Irqchip = { PIC_MASTER: 0, PIC_SLAVE: 1, IOAPIC: 2 } as const;
/** Where that has the redirection table, 8 bytes for each pin. */
export const IOAPIC_REDIRECTIONS = 8 + 24;
/** A pin's entry: the interrupt goes nowhere. */
export const IOAPIC_MASKED = 1 << 16;

/** §4.26: the state of one interrupt controller. */
export function getIrqchip(
  vmFd: number,
  id: number,
): Uint8Array<ArrayBuffer> {
  const irqchip = new Uint8Array(IRQCHIP_SIZE);
  irqchip[0] = id;
  ioctlBuffer(vmFd, KVM_GET_IRQCHIP, irqchip, "KVM_GET_IRQCHIP");
  return irqchip;
}

/** §4.27: sets the state of the controller that it is of. */
export function setIrqchip(
  vmFd: number,
  irqchip: Uint8Array<ArrayBuffer>,
): void {
  ioctlBuffer(vmFd, KVM_SET_IRQCHIP, irqchip, "KVM_SET_IRQCHIP");
}

/** Where an ioeventfd listens. */
export interface IoEventFdAddress {
  /** Guest physical address, or port with `pio`. */
  address: number;
  /** Bytes of the access, 1, 2, 4 or 8; 0 for any. */
  length: number;
  /** Only a write of this value signals. */
  datamatch?: number;
  /** The address is an I/O port. */
  pio?: boolean;
}

/** A virtual machine, as its devices see it. */
export class VmEvents {
  /** The VM's descriptor. */
  readonly fd: number;

  /** Wraps a descriptor that `KVM_CREATE_VM` gave. */
  constructor(fd: number) {
    this.fd = fd;
  }

  /** §4.25: sets the level of an interrupt line. */
  irqLine(gsi: number, level: boolean): void {
    const line = new Uint32Array([gsi, level ? 1 : 0]);
    ioctlBuffer(this.fd, KVM_IRQ_LINE, line, "KVM_IRQ_LINE");
  }

  /** The guest lets interrupts of this pin of the I/O APIC through. */
  unmasked(gsi: number): boolean {
    const entry = new DataView(getIrqchip(this.fd, Irqchip.IOAPIC).buffer)
      .getUint32(IOAPIC_REDIRECTIONS + 8 * gsi, true);
    return (entry & IOAPIC_MASKED) === 0;
  }

  /** §4.75: a write to the eventfd raises (edge) the interrupt `gsi`. */
  irqfd(eventfd: number, gsi: number): void {
    const irqfd = new Uint32Array(8);
    irqfd[0] = eventfd;
    irqfd[1] = gsi;
    ioctlBuffer(this.fd, KVM_IRQFD, irqfd, `KVM_IRQFD of GSI ${gsi}`);
  }

  /** §4.59: a guest write there signals the eventfd and doesn't exit. */
  ioeventfd(eventfd: number, at: IoEventFdAddress): void {
    this.#ioeventfd(eventfd, at, 0);
  }

  /** §4.59: takes the above back; the same address must be given. */
  removeIoeventfd(eventfd: number, at: IoEventFdAddress): void {
    const DEASSIGN = 4;
    this.#ioeventfd(eventfd, at, DEASSIGN);
  }

  #ioeventfd(eventfd: number, at: IoEventFdAddress, flags: number): void {
    const DATAMATCH = 1;
    const PIO = 2;
    const ioeventfd = new DataView(new ArrayBuffer(64));
    ioeventfd.setBigUint64(0, BigInt(at.datamatch ?? 0), true);
    ioeventfd.setBigUint64(8, BigInt(at.address), true);
    ioeventfd.setUint32(16, at.length, true);
    ioeventfd.setInt32(20, eventfd, true);
    const match = at.datamatch === undefined ? 0 : DATAMATCH;
    ioeventfd.setUint32(24, flags | match | (at.pio ? PIO : 0), true);
    const where = `0x${at.address.toString(16)}`;
    ioctlBuffer(this.fd, KVM_IOEVENTFD, ioeventfd, `KVM_IOEVENTFD at ${where}`);
  }
}

/**
 * An interrupt line that goes up and down at once, as an irqfd's does: but by
 * the calling thread, and when it returns KVM has it. To an irqfd of a pin of
 * the I/O APIC, KVM answers in a thread of the kernel's, which has to be woken
 * first, on the very core that has asked for it.
 */
export class InterruptEdge {
  readonly #fd: number;
  // struct kvm_irq_level, twice; shared memory stays where it is.
  readonly #levels = new Uint32Array(new SharedArrayBuffer(16));
  readonly #up = Deno.UnsafePointer.of(this.#levels);
  readonly #down = Deno.UnsafePointer.of(this.#levels.subarray(2));

  /** An edge at line `gsi` of the VM with the descriptor `fd`. */
  constructor(fd: number, gsi: number) {
    this.#fd = fd;
    this.#levels.set([gsi, 1, gsi, 0]);
  }

  /** Raises the interrupt. Allocates nothing. */
  signal(): void {
    libc.ioctl_pointer(this.#fd, KVM_IRQ_LINE, this.#up);
    libc.ioctl_pointer(this.#fd, KVM_IRQ_LINE, this.#down);
  }
}
