/**
 * What not every machine has: loaded when one has it.
 *
 * @module
 */
import { Alarm } from "../ffi/alarm.ts";

type Acpi = typeof import("../guest/acpi/tables.ts");
type Controller = typeof import("./controller/mod.ts");
type First = typeof import("./first_boot.ts");
type Pci = typeof import("./pci/shared_state.ts");
type Program = typeof import("../ffi/memory/program_pages.ts");
type Restore = typeof import("./snapshot/restore.ts");
type Snapshots = typeof import("./snapshot/mod.ts");

// Not literals in `import()`: those are read at the start, needed or not.
const ACPI = new URL("../guest/acpi/tables.ts", import.meta.url).href;
const CONTROLLER = new URL("./controller/mod.ts", import.meta.url).href;
const FIRST_BOOT = new URL("./first_boot.ts", import.meta.url).href;
const PCI = new URL("./pci/shared_state.ts", import.meta.url).href;
const PROGRAM = new URL("../ffi/memory/program_pages.ts", import.meta.url).href;
const RESTORE = new URL("./snapshot/restore.ts", import.meta.url).href;
const SNAPSHOTS = new URL("./snapshot/mod.ts", import.meta.url).href;
/** Until then a start has other things to do, in milliseconds. */
const CONTROL_DELAY = 100;
/** How long a machine runs before what only its start needed is let go of. */
const SETTLED = 5000;

/** Writes the tables that a guest finds its devices by. */
export const acpiTables = (): Promise<Acpi> => import(ACPI);

/** Begins a machine with a kernel. */
export const firstBoot = (): Promise<First> => import(FIRST_BOOT);

/** Makes what the threads share of a PCI bus. */
export const pciState = (): Promise<Pci> => import(PCI);

/** Makes machines of snapshots, and nothing else. */
export const restoring = (): Promise<Restore> => import(RESTORE);

/** All that can be done with snapshots. */
export const snapshots = (): Promise<Snapshots> => import(SNAPSHOTS);

/** Gives a machine that has started a control socket, until it ends. */
export function openControl(...of: Parameters<Controller["openControl"]>) {
  const open = async () => (await import(CONTROLLER)).openControl(...of);
  new Alarm(CONTROL_DELAY, open).unless(of[0].wait());
}

let settled = false; // once is enough: another start brings back little

/** Lets go of what only starts need, unless `end` comes in so long. */
export function settle(end: Promise<unknown>, milliseconds = SETTLED): void {
  if (settled) return;
  new Alarm(milliseconds, async () => {
    if (!settled) ((await import(PROGRAM)) as Program).letGoOfProgram();
    settled = true;
  }).unless(end);
}
