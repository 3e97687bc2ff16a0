/**
 * The fixed ACPI description table (ACPI 6.3, §5.2.9) of a hardware-reduced
 * machine: none of the old fixed registers, one register to sleep, one to
 * reset.
 *
 * @module
 */
import { Port } from "../layout.ts";
import { putText, table, TABLE_HEADER_SIZE } from "./table.ts";

/** Offsets from the start of the table. Table 5-33. */
const Fadt = {
  IAPC_BOOT_ARCH: 109,
  FLAGS: 112,
  RESET_REG: 116,
  RESET_VALUE: 128,
  MINOR_VERSION: 131,
  X_DSDT: 140,
  SLEEP_CONTROL_REG: 244,
  SLEEP_STATUS_REG: 256,
  HYPERVISOR: 268,
  SIZE: 276,
} as const;

/** ACPI 6.3. */
const REVISION = 6, MINOR_VERSION = 3;

/** Table 5-34. */
const Flag = {
  /** WBINVD works. */
  WBINVD: 1 << 0,
  /** HLT works on every processor. */
  PROC_C1: 1 << 2,
  /** The power button is a device in the DSDT. */
  PWR_BUTTON: 1 << 4,
  /** There is no sleep button among the fixed registers. */
  SLP_BUTTON: 1 << 5,
  /** The clock's alarm is not among the fixed registers. */
  FIX_RTC: 1 << 6,
  /** The reset register works. */
  RESET_REG_SUP: 1 << 10,
  /** There are no fixed registers. */
  HW_REDUCED_ACPI: 1 << 20,
} as const;

/** Table 5-35: what there is of an IBM PC. */
const I8042 = 1 << 1, NO_VGA = 1 << 2;

/** Generic address structure (§5.2.3.2) of one byte-wide port. */
const Gas = { SPACE: 0, WIDTH: 1, ACCESS: 3, ADDRESS: 4 } as const;
const SYSTEM_IO = 1, BYTE_ACCESS = 1;

/** What makes {@linkcode Port.RESET} reset, by both of its bits. */
const RESET_VALUE = 0x06;

/** The FADT, given the guest address of the DSDT. */
export function fadt(dsdtAddress: number): Uint8Array<ArrayBuffer> {
  const body = new Uint8Array(Fadt.SIZE - TABLE_HEADER_SIZE);
  // Offsets are from the table's start; what we fill is behind its header.
  const at = (offset: number) => offset - TABLE_HEADER_SIZE;
  const view = new DataView(body.buffer);
  const port = (offset: number, address: number) => {
    body[at(offset) + Gas.SPACE] = SYSTEM_IO;
    body[at(offset) + Gas.WIDTH] = 8;
    body[at(offset) + Gas.ACCESS] = BYTE_ACCESS;
    view.setBigUint64(at(offset) + Gas.ADDRESS, BigInt(address), true);
  };
  view.setUint16(at(Fadt.IAPC_BOOT_ARCH), I8042 | NO_VGA, true);
  const flags = Object.values(Flag).reduce((all, flag) => all | flag, 0);
  view.setUint32(at(Fadt.FLAGS), flags, true);
  port(Fadt.RESET_REG, Port.RESET);
  body[at(Fadt.RESET_VALUE)] = RESET_VALUE;
  body[at(Fadt.MINOR_VERSION)] = MINOR_VERSION;
  view.setBigUint64(at(Fadt.X_DSDT), BigInt(dsdtAddress), true);
  port(Fadt.SLEEP_CONTROL_REG, Port.SLEEP);
  port(Fadt.SLEEP_STATUS_REG, Port.SLEEP + 1);
  putText(body, at(Fadt.HYPERVISOR), "VIREO");
  return table("FACP", REVISION, body);
}
