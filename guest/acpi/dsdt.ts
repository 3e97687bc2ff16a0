/**
 * The differentiated system description table: the devices of the machine,
 * each with its `_HID` (what it is), `_UID` (which of those) and `_CRS` (where
 * it is). Section numbers are those of ACPI 6.3.
 *
 * A guest's kernel interprets every byte of it, so there is nothing in it that
 * Linux doesn't use.
 *
 * @module
 */
import { Gsi, Layout, Port, SLP_TYP_S5 } from "../layout.ts";
import { clear, device, eisaId, ifNotZero, integer } from "./aml.ts";
import { memoryByte, method, name, notify } from "./aml.ts";
import { type Aml, packageOf, scope, string } from "./aml.ts";
import { interrupt, io, memory32Fixed, resourceTemplate } from "./resources.ts";
import { table } from "./table.ts";

/** 2: integers have 64 bits. */
const REVISION = 2;

/** `Notify` values of a button (§5.6.6, table 5-172). */
const BUTTON_PRESSED = 0x80;
/** And of a generation (its specification, "Notify"). */
const GENERATION_CHANGED = 0x80;

const COM1_PORTS = 8;
const RTC_PORTS = 2;

/** Where a virtio-mmio device is. */
export interface VirtioPlace {
  /** Guest address of its window. */
  window: number;
  /** Its interrupt. */
  gsi: number;
}

/** The DSDT with these terms in it. */
export function dsdt(...terms: Aml[]): Uint8Array<ArrayBuffer> {
  return table("DSDT", REVISION, terms.flat());
}

/** The devices of a machine, in the system bus's scope; and how it sleeps. */
export function machineTerms(
  cpus: number,
  virtio: readonly VirtioPlace[],
): Aml[] {
  return [
    scope(
      "_SB",
      ...Array.from({ length: cpus }, (_, id) => processor(id)),
      serialPort(),
      clock(),
      keyboard(),
      powerButton(),
      generation(),
      events(),
      ...virtio.map(virtioMmio),
    ),
    softOff(),
  ];
}

/** A processor (§8.4); its `_UID` is that of its local APIC in the MADT. */
function processor(id: number): Aml {
  return device(
    `C${hex(id)}`,
    name("_HID", string("ACPI0007")),
    name("_UID", integer(id)),
  );
}

/** The first serial port, a 16550A. */
function serialPort(): Aml {
  return device(
    "COM1",
    name("_HID", eisaId("PNP0501")),
    name("_UID", integer(1)),
    name(
      "_CRS",
      resourceTemplate(io(Port.COM1, COM1_PORTS), interrupt(Gsi.SERIAL)),
    ),
  );
}

/**
 * The real-time clock. Without it Linux would expect one with an IRQ 8; ours
 * has none, and so no alarm.
 */
function clock(): Aml {
  return device(
    "RTC",
    name("_HID", eisaId("PNP0B00")),
    name("_CRS", resourceTemplate(io(Port.RTC, RTC_PORTS))),
  );
}

/** The keyboard and its controller. */
function keyboard(): Aml {
  return device(
    "KBD",
    name("_HID", eisaId("PNP0303")),
    name(
      "_CRS",
      resourceTemplate(
        io(Port.I8042_DATA, 1),
        io(Port.I8042_COMMAND, 1),
        interrupt(Gsi.KEYBOARD),
      ),
    ),
  );
}

/** The power button (§4.8.3.1.1.2). */
function powerButton(): Aml {
  return device("PWRB", name("_HID", eisaId("PNP0C0C")));
}

/**
 * The machine's generation, as Microsoft's "Virtual Machine Generation ID" has
 * it: `ADDR` is where in memory, its lower and upper half.
 */
function generation(): Aml {
  return device(
    "VGEN",
    name("_HID", string("VIRE0001")),
    // As it is specified, and as Linux's driver spells it.
    name(
      "_CID",
      packageOf(string("VM_Gen_Counter"), string("VM_GEN_COUNTER")),
    ),
    name("_DDN", string("VM_Gen_Counter")),
    name("ADDR", packageOf(integer(Layout.GENERATION), integer(0))),
  );
}

/**
 * The generic event device (§5.6.9): hardware-reduced ACPI has no fixed event
 * registers, but an interrupt, and a method of its name: `E` for an edge. All
 * events share one. The button says that it was pressed; a generation is looked
 * at in any case, for two events may be one edge.
 */
function events(): Aml {
  return device(
    "GED",
    name("_HID", string("ACPI0013")),
    name("_CRS", resourceTemplate(interrupt(Gsi.EVENTS))),
    memoryByte("EVNT", Layout.BUTTON, "PRES"),
    method(
      eventOf(Gsi.EVENTS),
      0,
      // Cleared first: a press that comes now is another.
      ifNotZero("PRES", clear("PRES"), notify("PWRB", BUTTON_PRESSED)),
      notify("VGEN", GENERATION_CHANGED),
    ),
  );
}

function eventOf(gsi: number): string {
  return `_E${gsi.toString(16).toUpperCase().padStart(2, "0")}`;
}

/**
 * A virtio-mmio device; the id is QEMU's, which Linux's driver knows. `_CCA`:
 * its accesses to memory are coherent.
 */
function virtioMmio({ window, gsi }: VirtioPlace, index: number): Aml {
  return device(
    `V${hex(index)}`,
    name("_HID", string("LNRO0005")),
    name("_UID", integer(index)),
    name("_CCA", integer(1)),
    name(
      "_CRS",
      resourceTemplate(
        memory32Fixed(window, Layout.VIRTIO_MMIO_SIZE),
        interrupt(gsi),
      ),
    ),
  );
}

/** `_S5` (§7.4.2.6): how to turn the machine off. The rest is reserved. */
function softOff(): Aml {
  const [type, reserved] = [integer(SLP_TYP_S5), integer(0)];
  return name("_S5", packageOf(type, reserved, reserved, reserved));
}

/** Three digits, for the end of a name. */
function hex(index: number): string {
  return index.toString(16).toUpperCase().padStart(3, "0");
}
