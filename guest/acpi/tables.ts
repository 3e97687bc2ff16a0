/**
 * Puts the ACPI tables into guest memory: how a guest with ACPI finds its
 * processors, its devices, and the way to power off.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { Layout } from "../layout.ts";
import type { GuestMemory } from "../memory.ts";
import { scope } from "./aml.ts";
import { dsdt, machineTerms, type VirtioPlace } from "./dsdt.ts";
import { fadt } from "./fadt.ts";
import { madt } from "./madt.ts";
import { mcfg, pciTerms } from "./pci.ts";
import { type AcpiDevice, plainTerms } from "./plain.ts";
import { rsdp, RSDP_SIZE, xsdt } from "./rsdp.ts";

/** What the tables are to describe. */
export interface AcpiMachine {
  /** vCPUs, whose APIC ids are 0, 1, ... */
  cpus: number;
  /** The virtio-mmio devices, in order. */
  virtio: readonly VirtioPlace[];
  /** There is a PCI bus; the INTx lines of its devices 1, 2, ... */
  pci?: readonly number[];
  /** Devices without virtio. */
  plain?: readonly AcpiDevice[];
}

/** Tables start at multiples of this; the RSDP has to (§5.2.5.1). */
const ALIGNMENT = 16;

/** The largest number of vCPUs: local APIC ids and names of this many. */
const MAX_CPUS = 254;

/**
 * Writes the tables of `machine` at {@linkcode Layout.ACPI}.
 *
 * @returns the guest address of the RSDP: it comes first, so that a guest which
 * scans for it finds it at once
 * @throws {VireoError} when they have no room
 */
export function writeAcpiTables(
  memory: GuestMemory,
  machine: AcpiMachine,
): number {
  if (!(machine.cpus >= 1 && machine.cpus <= MAX_CPUS)) {
    throw new VireoError(`cpus: ${machine.cpus} don't fit into the MADT`);
  }
  let end: number = Layout.ACPI + RSDP_SIZE;
  const place = (table: Uint8Array<ArrayBuffer>) => {
    const address = Math.ceil(end / ALIGNMENT) * ALIGNMENT;
    end = address + table.length;
    if (end > Layout.HIGH_MEMORY) {
      throw new VireoError("ACPI tables: more devices than fit below 1 MiB");
    }
    memory.write(address, table);
    return address;
  };
  const { cpus, virtio, pci, plain = [] } = machine;
  const bus = pci === undefined ? [] : [scope("_SB", ...pciTerms(pci))];
  const more = plainTerms(plain);
  if (more.length > 0) bus.push(scope("_SB", ...more));
  const dsdtAddress = place(dsdt(...machineTerms(cpus, virtio), ...bus));
  const tables = [fadt(dsdtAddress), madt(cpus)];
  if (pci !== undefined) tables.push(mcfg());
  memory.write(Layout.ACPI, rsdp(place(xsdt(tables.map(place)))));
  return Layout.ACPI;
}
