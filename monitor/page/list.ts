/**
 * The list of a page's machines.
 *
 * @module
 */
import type { MachineState } from "../../vmm/machine_state.ts";
import type { WatchedMachine } from "../../vmm/live_page.ts";

/** The list is made once in so many milliseconds, for all its readers. */
const INTERVAL = 1000;

/** A machine, as the list has it: sums since its start. */
export interface MachineRow {
  /** What the page calls it. */
  name: string;
  /** Where it is in its life; undefined: there is none yet. */
  state?: MachineState;
  /** Bytes of its memory. */
  memory: number;
  /** Exits of all its vCPUs. */
  exits: number;
  /** Requests of all its devices. */
  requests: number;
  /** Bytes of them, and of frames. */
  bytes: number;
}

/** A machine of a page. */
interface Listed {
  readonly name: string;
  readonly machine: WatchedMachine | undefined;
}

/** Keeps the list for as long as it is new enough. */
export class MachineList {
  readonly #machines: () => Iterable<Listed>;
  #made = -Infinity;
  #rows: Promise<MachineRow[]> | undefined;

  /** A list of those. */
  constructor(machines: () => Iterable<Listed>) {
    this.#machines = machines;
  }

  /** The rows, in the order in which the machines came. */
  rows(): Promise<MachineRow[]> {
    const now = performance.now();
    if (this.#rows === undefined || now - this.#made >= INTERVAL) {
      this.#made = now;
      this.#rows = Promise.all([...this.#machines()].map(rowOf));
    }
    return this.#rows;
  }
}

async function rowOf({ name, machine }: Listed): Promise<MachineRow> {
  const row = { name, memory: 0, exits: 0, requests: 0, bytes: 0 };
  if (machine === undefined) return row;
  const { memory, vcpus, devices } = await machine.metrics();
  for (const { exits } of vcpus) {
    for (const reason in exits) row.exits += exits[reason]!;
  }
  for (const { requests, queues } of devices) {
    for (const one of Object.values(requests)) {
      row.requests += one.requests;
      row.bytes += one.bytes;
    }
    for (const { frameBytes } of queues) row.bytes += frameBytes;
  }
  return { ...row, memory, state: machine.state };
}
