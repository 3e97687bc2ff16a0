/**
 * PCI in ACPI: the host bridge in the DSDT, and the MCFG table, which says
 * where the enhanced configuration space (ECAM) is. Section numbers are those
 * of ACPI 6.3; the MCFG is PCI Firmware 3.2 §4.1.2's.
 *
 * @module
 */
import { Layout, Port } from "../layout.ts";
import {
  type Aml,
  device,
  eisaId,
  integer,
  littleEndian,
  name,
  packageOf,
} from "./aml.ts";
import {
  dwordMemory,
  io,
  memory32Fixed,
  resourceTemplate,
  wordBusNumber,
} from "./resources.ts";
import { table } from "./table.ts";

const CONFIG_PORTS = 8;
const MCFG_REVISION = 1;
const INTA = 0;
/** The lower half of a `_PRT` address: all functions of the device. */
const ANY_FUNCTION = 0xffff;

/**
 * Bus 0, and the INTx line of each function but the bridge: `gsis[n]` is that
 * of device `n + 1`.
 */
export function pciTerms(gsis: readonly number[]): Aml[] {
  return [
    device(
      "PCI0",
      name("_HID", eisaId("PNP0A08")), // PCI Express: with ECAM
      name("_CID", eisaId("PNP0A03")),
      name("_UID", integer(0)),
      name("_SEG", integer(0)),
      name("_BBN", integer(0)),
      name("_CCA", integer(1)),
      name(
        "_CRS",
        resourceTemplate(
          wordBusNumber(0, 0),
          io(Port.PCI_CONFIG, CONFIG_PORTS),
          dwordMemory(Layout.PCI_MEMORY, Layout.PCI_MEMORY_SIZE),
        ),
      ),
      ...gsis.length > 0
        ? [name("_PRT", packageOf(...gsis.map(interruptRoute)))]
        : [],
    ),
    // Linux believes the MCFG only if a motherboard resource agrees.
    device(
      "MBRD",
      name("_HID", eisaId("PNP0C02")),
      name(
        "_CRS",
        resourceTemplate(memory32Fixed(Layout.PCI_ECAM, Layout.PCI_ECAM_SIZE)),
      ),
    ),
  ];
}

/** §6.2.13: address, pin, source (none: a GSI), GSI. */
function interruptRoute(gsi: number, index: number): Aml {
  const address = (index + 1) * 0x1_0000 + ANY_FUNCTION;
  return packageOf(integer(address), integer(INTA), integer(0), integer(gsi));
}

/** ECAM of bus 0 of segment 0. */
export function mcfg(): Uint8Array<ArrayBuffer> {
  const [segment, firstBus, lastBus] = [0, 0, 0];
  return table("MCFG", MCFG_REVISION, [
    ...littleEndian(0, 8), // reserved
    ...littleEndian(Layout.PCI_ECAM, 8),
    ...littleEndian(segment, 2),
    firstBus,
    lastBus,
    ...littleEndian(0, 4), // reserved
  ]);
}
