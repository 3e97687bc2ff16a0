/**
 * The Intel MultiProcessor table, version 1.4: how a guest without ACPI finds
 * its processors, its I/O APIC, and which pin an ISA interrupt arrives at.
 * Section numbers are those of the MultiProcessor Specification.
 *
 * @module
 */
import { VireoError } from "../../ffi/errno.ts";
import { Gsi, Layout } from "../layout.ts";
import type { GuestMemory } from "../memory.ts";

/** The first address after conventional memory: where the EBDA ends. */
const EBDA_END = 0xa_0000;

/** MP floating pointer structure (§4.1). */
const Pointer = {
  SIGNATURE: 0,
  TABLE: 4,
  LENGTH: 8,
  REVISION: 9,
  CHECKSUM: 10,
  FEATURES_2: 12,
  SIZE: 16,
} as const;

/** MP configuration table header (§4.2). */
const Header = {
  SIGNATURE: 0,
  LENGTH: 4,
  REVISION: 6,
  CHECKSUM: 7,
  OEM_ID: 8,
  PRODUCT_ID: 16,
  ENTRY_COUNT: 34,
  LOCAL_APIC: 36,
  SIZE: 44,
} as const;

/** Entry types and their sizes (§4.3). */
const MpEntry = {
  PROCESSOR: { type: 0, size: 20 },
  BUS: { type: 1, size: 8 },
  IO_APIC: { type: 2, size: 8 },
  IO_INTERRUPT: { type: 3, size: 8 },
  LOCAL_INTERRUPT: { type: 4, size: 8 },
} as const;

/** Processor entry (§4.3.1). */
const Processor = {
  APIC_ID: 1,
  APIC_VERSION: 2,
  FLAGS: 3,
  SIGNATURE: 4,
  FEATURES: 8,
} as const;

/** Bus entry (§4.3.2). */
const Bus = { ID: 1, TYPE: 2 } as const;

/** I/O APIC entry (§4.3.3). */
const IoApic = { ID: 1, VERSION: 2, FLAGS: 3, ADDRESS: 4 } as const;

/** I/O and local interrupt assignment entries (§4.3.4, §4.3.5). */
const Interrupt = {
  TYPE: 1,
  FLAGS: 2,
  SOURCE_BUS: 4,
  SOURCE_IRQ: 5,
  DESTINATION_APIC: 6,
  DESTINATION_PIN: 7,
} as const;

/** Interrupt types (table 4-10). */
const InterruptType = { INT: 0, NMI: 1, EXT_INT: 3 } as const;

/** Specification revision 1.4. */
const REVISION = 4;
/** What KVM's local APIC says in its version register: integrated, 0x14. */
const APIC_VERSION = 0x14;
/** What KVM's I/O APIC says in its version register. */
const IO_APIC_VERSION = 0x11;
const ENABLED = 1;
const BOOTSTRAP = 2;
const ISA_BUS = 0;
/** Every local APIC. */
const ALL_APICS = 0xff;
/** Features that the table must name; CPUID has the truth (§4.3.1). */
const CPU_FEATURES = { FPU: 1 << 0, APIC: 1 << 9 } as const;
const CPU_FAMILY_6 = 0x600;

const FIXED_ENTRIES = [
  MpEntry.BUS,
  MpEntry.IO_APIC,
  ...Array<typeof MpEntry.IO_INTERRUPT>(Gsi.LAST + 1).fill(
    MpEntry.IO_INTERRUPT,
  ),
  MpEntry.LOCAL_INTERRUPT,
  MpEntry.LOCAL_INTERRUPT,
];

const ROOM_FOR_PROCESSORS = EBDA_END - Layout.EBDA - Pointer.SIZE -
  Header.SIZE - FIXED_ENTRIES.reduce((sum, { size }) => sum + size, 0);

/** The largest number of vCPUs whose table fits into the EBDA. */
export const MP_TABLE_MAX_CPUS: number = Math.floor(
  ROOM_FOR_PROCESSORS / MpEntry.PROCESSOR.size,
);

/**
 * Writes the MP table for `cpus` vCPUs into the EBDA, where a guest looks for
 * it (§4: the last KiB of conventional memory). APIC ids are 0, 1, ...; the
 * I/O APIC's comes after them.
 *
 * Every ISA interrupt n is edge-triggered at pin n, the timer's too: KVM's
 * I/O APIC has it at pin 0 with its PIT, unlike a PC's pin 2.
 *
 * @throws {VireoError} when the table has no room for so many
 */
export function writeMpTable(memory: GuestMemory, cpus: number): void {
  if (!(cpus >= 1 && cpus <= MP_TABLE_MAX_CPUS)) {
    throw new VireoError(
      `cpus: ${cpus} don't fit into the MP table; ` +
        `1 to ${MP_TABLE_MAX_CPUS} do`,
    );
  }
  const entries = entriesFor(cpus);
  const size = entries.reduce((sum, entry) => sum + entry.byteLength, 0);
  const tableAddress = Layout.EBDA + Pointer.SIZE;
  memory.write(Layout.EBDA, floatingPointer(tableAddress));
  const table = memory.bytes(tableAddress, Header.SIZE + size);
  table.set(header(table.length, entries.length));
  let at: number = Header.SIZE;
  for (const entry of entries) {
    table.set(new Uint8Array(entry.buffer), at);
    at += entry.byteLength;
  }
  table[Header.CHECKSUM] = checksum(table);
}

function floatingPointer(tableAddress: number): Uint8Array {
  const pointer = new Uint8Array(Pointer.SIZE);
  const PARAGRAPH = 16;
  putText(pointer, Pointer.SIGNATURE, "_MP_");
  new DataView(pointer.buffer).setUint32(Pointer.TABLE, tableAddress, true);
  pointer[Pointer.LENGTH] = Pointer.SIZE / PARAGRAPH;
  pointer[Pointer.REVISION] = REVISION;
  // 0: virtual wire mode, the PIC reaches the CPU through LINT0 (lapic.ts).
  pointer[Pointer.FEATURES_2] = 0;
  pointer[Pointer.CHECKSUM] = checksum(pointer);
  return pointer;
}

function header(length: number, entryCount: number): Uint8Array {
  const bytes = new Uint8Array(Header.SIZE);
  const view = new DataView(bytes.buffer);
  putText(bytes, Header.SIGNATURE, "PCMP");
  view.setUint16(Header.LENGTH, length, true);
  bytes[Header.REVISION] = REVISION;
  putText(bytes, Header.OEM_ID, "VIREO   ");
  putText(bytes, Header.PRODUCT_ID, "000000000000");
  view.setUint16(Header.ENTRY_COUNT, entryCount, true);
  view.setUint32(Header.LOCAL_APIC, Layout.LAPIC, true);
  return bytes;
}

/** All entries, by type in ascending order as §4.3 wants them. */
function entriesFor(cpus: number): DataView<ArrayBuffer>[] {
  const ioApicId = cpus;
  const entries = Array.from({ length: cpus }, (_, id) => processor(id));

  const bus = newEntry(MpEntry.BUS);
  bus.setUint8(Bus.ID, ISA_BUS);
  putText(new Uint8Array(bus.buffer), Bus.TYPE, "ISA   ");
  entries.push(bus);

  const ioApic = newEntry(MpEntry.IO_APIC);
  ioApic.setUint8(IoApic.ID, ioApicId);
  ioApic.setUint8(IoApic.VERSION, IO_APIC_VERSION);
  ioApic.setUint8(IoApic.FLAGS, ENABLED);
  ioApic.setUint32(IoApic.ADDRESS, Layout.IOAPIC, true);
  entries.push(ioApic);

  for (let irq = 0; irq <= Gsi.LAST; irq++) {
    const { IO_INTERRUPT } = MpEntry;
    entries.push(
      interrupt(IO_INTERRUPT, InterruptType.INT, irq, ioApicId, irq),
    );
  }
  const { LOCAL_INTERRUPT } = MpEntry;
  const { EXT_INT, NMI } = InterruptType;
  entries.push(interrupt(LOCAL_INTERRUPT, EXT_INT, 0, 0, 0));
  entries.push(interrupt(LOCAL_INTERRUPT, NMI, 0, ALL_APICS, 1));
  return entries;
}

function processor(id: number): DataView<ArrayBuffer> {
  const entry = newEntry(MpEntry.PROCESSOR);
  entry.setUint8(Processor.APIC_ID, id);
  entry.setUint8(Processor.APIC_VERSION, APIC_VERSION);
  entry.setUint8(Processor.FLAGS, ENABLED | (id === 0 ? BOOTSTRAP : 0));
  entry.setUint32(Processor.SIGNATURE, CPU_FAMILY_6, true);
  const { FPU, APIC } = CPU_FEATURES;
  entry.setUint32(Processor.FEATURES, FPU | APIC, true);
  return entry;
}

/** Flags stay 0: polarity and trigger conform to the bus, ISA being edge. */
function interrupt(
  entryType: typeof MpEntry[keyof typeof MpEntry],
  type: number,
  sourceIrq: number,
  apic: number,
  pin: number,
): DataView<ArrayBuffer> {
  const entry = newEntry(entryType);
  entry.setUint8(Interrupt.TYPE, type);
  entry.setUint16(Interrupt.FLAGS, 0, true);
  entry.setUint8(Interrupt.SOURCE_BUS, ISA_BUS);
  entry.setUint8(Interrupt.SOURCE_IRQ, sourceIrq);
  entry.setUint8(Interrupt.DESTINATION_APIC, apic);
  entry.setUint8(Interrupt.DESTINATION_PIN, pin);
  return entry;
}

function newEntry(
  { type, size }: { type: number; size: number },
): DataView<ArrayBuffer> {
  const entry = new DataView(new ArrayBuffer(size));
  entry.setUint8(0, type);
  return entry;
}

function putText(target: Uint8Array, at: number, text: string): void {
  target.set(new TextEncoder().encode(text), at);
}

/** The byte that makes the sum of all of them 0 modulo 256. */
function checksum(bytes: Uint8Array): number {
  return -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
}
