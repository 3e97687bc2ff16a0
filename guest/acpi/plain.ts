/**
 * Devices without virtio of the user's own in the DSDT: those that have an id
 * by which a driver finds them.
 *
 * @module
 */
import {
  type Aml,
  buffer,
  device,
  eisaId,
  integer,
  name,
  packageOf,
  string,
} from "./aml.ts";
import { interrupt, io, memory32Fixed, resourceTemplate } from "./resources.ts";

/** What a driver is told of a device. */
export interface AcpiDevice {
  /** Its id; undefined: it is not in the tables. */
  hid: string | undefined;
  /** What a `PRP0001` is compatible with. */
  compatible: string | undefined;
  /** What its addresses are. */
  space: "mmio" | "port";
  /** The first. */
  address: number;
  /** How many. */
  size: number;
  /** Its interrupt. */
  gsi: number;
  /** How it is raised; undefined: there is none. */
  interrupt: "edge" | "level" | undefined;
}

/** `_UID` of the first: COM1 has 1. */
const FIRST_UID = 100;
/** Ports of one descriptor: its length has 8 bits. */
const PORTS_MAX = 255;

/** A device each. */
export function plainTerms(devices: readonly AcpiDevice[]): Aml[] {
  return devices.flatMap((one, index) =>
    one.hid === undefined ? [] : [term(one, one.hid, index)]
  );
}

function term(
  { compatible, space, address, size, gsi, interrupt: how }: AcpiDevice,
  hid: string,
  index: number,
): Aml {
  const isEisa = /^[A-Z]{3}[0-9A-F]{4}$/.test(hid);
  const addresses = space === "mmio"
    ? [memory32Fixed(address, size)]
    : ports(address, size);
  const interrupts = how ? [interrupt(gsi, how === "level")] : [];
  return device(
    `B${index.toString(16).toUpperCase().padStart(3, "0")}`,
    name("_HID", isEisa ? eisaId(hid) : string(hid)),
    name("_UID", integer(FIRST_UID + index)),
    name("_CRS", resourceTemplate(...addresses, ...interrupts)),
    ...compatible === undefined ? [] : [properties(compatible)],
  );
}

function ports(address: number, size: number): Aml[] {
  if (size <= PORTS_MAX) return [io(address, size)];
  return [io(address, PORTS_MAX), io(address + PORTS_MAX, size - PORTS_MAX)];
}

/**
 * `_DSD` (§6.2.5) of device properties, whose UUID this is:
 * daffd814-6eba-4d8c-8a91-bc9bbf4aa301.
 */
function properties(compatible: string): Aml {
  const uuid = [
    ...[0x14, 0xd8, 0xff, 0xda, 0xba, 0x6e, 0x8c, 0x4d],
    ...[0x8a, 0x91, 0xbc, 0x9b, 0xbf, 0x4a, 0xa3, 0x01],
  ];
  const pair = packageOf(string("compatible"), string(compatible));
  return name("_DSD", packageOf(buffer(uuid), packageOf(pair)));
}
