/**
 * What can be asked of a machine from outside of its process, whoever asks: the
 * control socket is one face of it.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import type { GuestProcess, SpawnOptions } from "../agent/mod.ts";
import type { MachineState } from "../machine_state.ts";
import type { MachineMetrics } from "../trace/metrics.ts";
import type { SaveOptions, Snapshot } from "../snapshot/mod.ts";

/** A machine, as far as it is controlled. */
export interface ControlledMachine {
  /** Where it is in its life. */
  readonly state: MachineState;
  /** `Machine.pause`. */
  pause(): Promise<void>;
  /** `Machine.resume`. */
  resume(): Promise<void>;
  /** `Machine.powerButton`. */
  powerButton(): void;
  /** `Machine.metrics`. */
  metrics(): Promise<MachineMetrics>;
  /** `Machine.snapshot`. */
  snapshot(): Promise<Snapshot>;
  /** `Machine.gdb`, where it is one's own to choose. */
  gdb(): Promise<{ target: string }>;
  /** `Machine.dump`. */
  dump(path: string): Promise<void>;
  /** `Machine.spawn`. */
  spawn(command: string[], options: SpawnOptions): Promise<GuestProcess>;
}

/** What does not change about a machine. */
export interface Identity {
  /** What its owner calls it. */
  name?: string;
  /** What started it: a program and its arguments. */
  command: string[];
  /** vCPUs. */
  cpus: number;
  /** Bytes of RAM. */
  memory: number;
}

/** A machine as a list of them shows it. */
export interface MachineDescription extends Identity {
  /** Its process. */
  pid: number;
  /** Where it is in its life. */
  state: MachineState;
  /** Seconds since its start. */
  uptime: number;
}

/** What a machine can do at the moment. */
export type Phase = "not started" | "running" | "paused" | "ended";

const PHASES: Readonly<Record<MachineState, Phase>> = {
  created: "not started",
  starting: "running",
  running: "running",
  pausing: "running",
  paused: "paused",
  resuming: "paused",
  ending: "ended",
  ended: "ended",
};

/**
 * Carries out requests to one machine, one after the other: nobody's pause falls
 * into somebody else's snapshot.
 */
export class Controller {
  readonly #machine: ControlledMachine;
  readonly #identity: Identity;
  readonly #kernel: string | undefined;
  readonly #since = performance.now();
  #turn: Promise<unknown> = Promise.resolve();

  /**
   * Controls `machine`, which starts now.
   *
   * @param kernel the file that it was booted from, where that is known
   */
  constructor(machine: ControlledMachine, identity: Identity, kernel?: string) {
    this.#machine = machine;
    this.#kernel = kernel;
    this.#identity = identity;
  }

  /** What the machine can do at the moment. */
  get phase(): Phase {
    return PHASES[this.#machine.state];
  }

  /** The machine, as a list of them shows it. */
  describe(): MachineDescription {
    return {
      pid: Deno.pid,
      ...this.#identity,
      state: this.#machine.state,
      uptime: (performance.now() - this.#since) / 1000,
    };
  }

  /** What the machine has done so far: it waits for nobody's turn. */
  metrics(): Promise<MachineMetrics> {
    return this.#machine.metrics();
  }

  /** Stops the guest until {@linkcode resume}; one that is stopped stays so. */
  pause(): Promise<void> {
    return this.#inTurn(() => this.#machine.pause());
  }

  /** Lets the guest go on; one that runs goes on. */
  resume(): Promise<void> {
    return this.#inTurn(() => this.#machine.resume());
  }

  /**
   * Asks the guest to shut down.
   *
   * @throws {VireoError} it has no power button
   */
  powerButton(): Promise<void> {
    return this.#inTurn(() => this.#machine.powerButton());
  }

  /**
   * Saves the machine in a folder; a running one goes on as soon as its memory
   * is copied.
   *
   * @param folder an absolute path
   * @throws {VireoError} it can't be saved
   */
  snapshot(folder: string, options: SaveOptions = {}): Promise<void> {
    return this.#inTurn(async () => {
      using snapshot = await this.#machine.snapshot();
      snapshot.save(folder, options);
    });
  }

  /**
   * Lets gdb attach.
   *
   * @returns what gdb's `target remote` takes, and the kernel's file
   * @throws {VireoError} it can't
   */
  gdb(): Promise<{ target: string; kernel?: string }> {
    return this.#inTurn(async () => {
      const { target } = await this.#machine.gdb();
      return { target, kernel: this.#kernel };
    });
  }

  /**
   * Writes an ELF core; a running machine goes on afterwards.
   *
   * @param file an absolute path of no file
   * @throws {VireoError} it can't be written
   */
  dump(file: string): Promise<void> {
    return this.#inTurn(() => this.#machine.dump(file));
  }

  /**
   * Starts a command in the guest, whatever else is asked meanwhile.
   *
   * @throws {VireoError} the guest is stopped, has no agent, or doesn't answer
   */
  async spawn(
    command: string[],
    options: SpawnOptions,
  ): Promise<GuestProcess> {
    const { phase } = this;
    if (phase !== "running") throw new VireoError(`the machine is ${phase}`);
    return await this.#machine.spawn(command, options);
  }

  /** @throws {VireoError} there is no machine any more */
  #inTurn<T>(action: () => T | Promise<T>): Promise<T> {
    const turn = this.#turn.then(() => {
      if (this.phase !== "ended") return action();
      throw new VireoError("the machine has ended");
    });
    this.#turn = turn.catch(() => {});
    return turn;
  }
}
