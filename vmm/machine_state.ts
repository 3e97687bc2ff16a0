/**
 * The life of a machine: the states that it is in, and which may follow which.
 * docs/architecture.md has the picture, and what each method does in each.
 *
 * @module
 */

/** Where a machine is in its life. */
export type MachineState =
  /** All is open and in memory; nothing of the guest has run. */
  | "created"
  /** The workers have been told to begin, and not all are at work yet. */
  | "starting"
  /** The guest runs. */
  | "running"
  /** First the vCPUs stop, then the devices. */
  | "pausing"
  /** No thread touches the guest. */
  | "paused"
  /** First the devices go on, then the vCPUs. */
  | "resuming"
  /** The threads stop, and everything is released. */
  | "ending"
  /** Nothing is left. */
  | "ended";

/** From each state, those that may come next. There are no other ways. */
export const TRANSITIONS: Readonly<
  Record<MachineState, readonly MachineState[]>
> = {
  created: ["starting", "ending"],
  starting: ["running", "pausing", "ending"],
  running: ["pausing", "ending"],
  pausing: ["paused", "ending"],
  paused: ["resuming", "ending"],
  resuming: ["running", "ending"],
  ending: ["ended"],
  ended: [],
};

/** Where one machine is, and that it goes only where it may. */
export class MachineLife {
  /** Who is told of each step, and of what is done while it is paused. */
  readonly told: Set<(state: MachineState, work?: string) => void> = new Set();
  #state: MachineState = "created";

  /** The current state. */
  get state(): MachineState {
    return this.#state;
  }

  /** True from the first moment of the end on. */
  get over(): boolean {
    return this.#state === "ending" || this.#state === "ended";
  }

  /**
   * Goes on to `next`.
   *
   * @throws {Error} no way leads there: a mistake of Vireo's own
   */
  to(next: MachineState): void {
    if (!TRANSITIONS[this.#state].includes(next)) {
      throw new Error(`a machine that is ${this.#state} can't be ${next}`);
    }
    this.#state = next;
    for (const tell of this.told) tell(next);
  }
}
