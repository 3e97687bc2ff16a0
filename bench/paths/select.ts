/**
 * All rows: those against peers, and those that put a setting of Vireo's on
 * trial; and which of them are asked for.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { PEER_ROWS, type Row } from "./rows.ts";
import type { Settings } from "./vireo.ts";

/** A row of the table, with settings on trial against Vireo without them. */
function trial(name: string, suffix: string, settings: Settings): Row {
  const row = PEER_ROWS.find((row) => row.name === name)!;
  return {
    ...row,
    name: `${suffix}-${name}`,
    title: `${row.title}, ${suffix} against without`,
    peer: "vireo",
    goal: { ...row.goal, limit: 1 },
    settings,
  };
}

const PACKED: Settings = { packed_rings: true };
const PCI: Settings = { transport: "pci" };
const IRQFD: Settings = { irqfd: true };
const EXITING: Settings = { mapped_registers: false };

/** All rows, in the order of the table. */
export const ROWS: readonly Row[] = [
  ...PEER_ROWS,
  ...["doorbell-polling", "read-qd1", "read-qd32", "read-qd32-irq", "net-tx"]
    .map((name) => trial(name, "packed", PACKED)),
  ...[
    "doorbell-sleeping",
    "read-qd1-irq",
    "read-qd32",
    "read-qd32-irq",
    "net-rr",
  ]
    .map((name) => trial(name, "pci", PCI)),
  ...["read-qd1-irq", "read-qd32-irq", "net-rr-irq"]
    .map((name) => trial(name, "irqfd", IRQFD)),
  ...["read-qd1-irq", "read-qd32-irq", "net-rx-irq", "net-rr-irq"]
    .map((name) => trial(name, "exiting", EXITING)),
];

/** The rows whose names are, or begin with, one of `names`; all for none. */
export function selectRows(names: readonly string[]): Row[] {
  const unknown = names.filter((name) =>
    !ROWS.some((row) => row.name.startsWith(name))
  );
  if (unknown.length > 0) {
    const known = ROWS.map((row) => row.name).join(" ");
    throw new VireoError(
      `--only: no row ${unknown.join(", ")}; there are: ${known}`,
    );
  }
  return ROWS.filter(({ name }) =>
    names.length === 0 || names.some((prefix) => name.startsWith(prefix))
  );
}
