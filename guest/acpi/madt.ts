/**
 * The multiple APIC description table (ACPI 6.3, §5.2.12): processors and
 * interrupt controllers. It says the same as the MP table (`guest/boot/mptable.ts`).
 *
 * @module
 */
import { Layout } from "../layout.ts";
import { type Aml, littleEndian } from "./aml.ts";
import { table } from "./table.ts";

const REVISION = 5;
/**
 * Flags: `PCAT_COMPAT` is clear. KVM has two 8259s, but a hardware-reduced
 * machine has no use for them.
 */
const FLAGS = 0;

/** Interrupt controller structures: type and length (table 5-45). */
const MadtEntry = {
  LOCAL_APIC: [0, 8],
  IO_APIC: [1, 12],
  LOCAL_APIC_NMI: [4, 6],
} as const;

const ENABLED = 1;
const RESERVED = 0;
const GSI_BASE = 0;
const ALL_PROCESSORS = 0xff;
const NMI_LINT = 1;

/**
 * The MADT for `cpus` vCPUs: UIDs and APIC ids are 0, 1, ..., the I/O APIC's
 * comes after them.
 *
 * There is no interrupt source override. Where none is, ISA interrupt n is GSI
 * n, edge-triggered and active high, and so it is here, the timer's too: KVM's
 * PIT is at pin 0, unlike a PC's at pin 2.
 */
export function madt(cpus: number): Uint8Array<ArrayBuffer> {
  const ioApicId = cpus;
  const processors = Array.from({ length: cpus }, (_, id) => localApic(id));
  return table("APIC", REVISION, [
    ...littleEndian(Layout.LAPIC, 4),
    ...littleEndian(FLAGS, 4),
    ...processors.flat(),
    ...MadtEntry.IO_APIC,
    ioApicId,
    RESERVED,
    ...littleEndian(Layout.IOAPIC, 4),
    ...littleEndian(GSI_BASE, 4),
    ...MadtEntry.LOCAL_APIC_NMI,
    ALL_PROCESSORS,
    ...littleEndian(0, 2), // polarity and trigger as NMIs are on this bus
    NMI_LINT,
  ]);
}

/** The UID is that of the processor's device in the DSDT. */
function localApic(id: number): Aml {
  return [...MadtEntry.LOCAL_APIC, id, id, ...littleEndian(ENABLED, 4)];
}
