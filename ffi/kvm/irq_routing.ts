/**
 * GSI routing (KVM API §4.52, `KVM_SET_GSI_ROUTING`): which interrupt a GSI
 * is. KVM takes only whole tables, so the one that it has by itself is kept
 * here, with interrupt messages (MSI) behind it.
 *
 * @module
 */
import { _IOW, ioctlBuffer } from "../ioctl.ts";
import { KVMIO } from "./api.ts";

const KVM_SET_GSI_ROUTING = _IOW(KVMIO, 0x6a, 8);

// struct kvm_irq_routing and struct kvm_irq_routing_entry, in 32-bit words.
const HEADER_WORDS = 2;
const ENTRY_WORDS = 12;
const RoutingEntry = { gsi: 0, type: 1, data: 4 } as const;
const ROUTING_IRQCHIP = 1;
const ROUTING_MSI = 2;

const Chip = { PIC_MASTER: 0, PIC_SLAVE: 1, IOAPIC: 2 } as const;
const PIC_PINS = 8;
const ISA_IRQS = 16;

/** Pins of the I/O APIC: the GSIs that are no messages. */
export const IOAPIC_PINS = 24;

/** The routes of one VM. */
export class IrqRoutes {
  readonly #vm: number;
  readonly #messages = new Map<
    number,
    { addressLow: number; addressHigh: number; data: number }
  >();

  /** The routes of the VM with this descriptor, as KVM makes them. */
  constructor(vm: number) {
    this.#vm = vm;
  }

  /** Makes `gsi` a message, or nothing; {@linkcode apply} tells KVM. */
  setMessage(
    gsi: number,
    message?: { addressLow: number; addressHigh: number; data: number },
  ): void {
    if (message === undefined) this.#messages.delete(gsi);
    else this.#messages.set(gsi, { ...message });
  }

  /**
   * Gives KVM the whole table.
   *
   * @throws {SystemError} EINVAL for a message that it refuses
   */
  apply(): void {
    const count = ISA_IRQS + IOAPIC_PINS + this.#messages.size;
    const table = new Uint32Array(HEADER_WORDS + count * ENTRY_WORDS);
    let used = 0;
    const add = (gsi: number, type: number, ...data: number[]) => {
      const at = HEADER_WORDS + used++ * ENTRY_WORDS;
      table[at + RoutingEntry.gsi] = gsi;
      table[at + RoutingEntry.type] = type;
      table.set(data, at + RoutingEntry.data);
    };
    for (let irq = 0; irq < ISA_IRQS; irq++) {
      const chip = irq < PIC_PINS ? Chip.PIC_MASTER : Chip.PIC_SLAVE;
      add(irq, ROUTING_IRQCHIP, chip, irq % PIC_PINS);
    }
    for (let pin = 0; pin < IOAPIC_PINS; pin++) {
      add(pin, ROUTING_IRQCHIP, Chip.IOAPIC, pin);
    }
    for (const [gsi, { addressLow, addressHigh, data }] of this.#messages) {
      add(gsi, ROUTING_MSI, addressLow, addressHigh, data);
    }
    table[0] = used;
    ioctlBuffer(this.#vm, KVM_SET_GSI_ROUTING, table, "KVM_SET_GSI_ROUTING");
  }
}
