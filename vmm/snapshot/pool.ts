/**
 * Machines that wait, paused, to go on from a snapshot: what takes time is done
 * before they are asked for.
 *
 * @module
 */
import type { OwnEvent } from "../../devices/own/context.ts";
import { Alarm } from "../../ffi/alarm.ts";
import { VireoError } from "../../ffi/error.ts";
import { Machine } from "../machine.ts";
import type { MachineOptions } from "../machine_options.ts";
import type { Overrides } from "./restore.ts";
import { checkShared, withoutMemoryFile } from "./shared.ts";
import { Snapshot } from "./snapshot.ts";

/** How the machines of a pool are made. */
export interface PoolOptions {
  /**
   * What each has otherwise: all on the host that two machines can't share.
   *
   * @param n 0 for the first machine, 1 for the second, and so on
   */
  overrides?(n: number): Overrides | Promise<Overrides>;
}

/** What the maker of a machine from the pool may still choose. */
export type ForkOptions = Pick<
  MachineOptions,
  "onOutput" | "onLog" | "onEvent" | "onBooted" | "onHalted"
>;

/** A machine that waits, and whom it will tell. */
interface Waiting {
  machine: Machine;
  options: LateOptions;
}

/** Milliseconds for a fork's own start before the next machine is made. */
const REFILL_AFTER = 20;

/** Machines that go on from one snapshot in a moment. */
export class MachinePool implements AsyncDisposable {
  readonly #snapshot: Snapshot;
  readonly #size: number;
  readonly #options: PoolOptions;
  readonly #waiting: Waiting[] = [];
  #made = 0;
  #refilling: Promise<void> | undefined;
  #failure: unknown; // of a refill, for the next who asks
  #timer: Alarm | undefined;
  #closed = false;

  private constructor(snapshot: Snapshot, size: number, options: PoolOptions) {
    this.#snapshot = snapshot;
    this.#size = size;
    this.#options = options;
  }

  /**
   * {@linkcode Snapshot.pool}.
   *
   * @internal
   */
  static async of(
    snapshot: Snapshot,
    size: number,
    options: PoolOptions,
  ): Promise<MachinePool> {
    if (!Number.isInteger(size) || size < 1) {
      throw new VireoError(`pool: of ${size} machines; 1 at least`);
    }
    const { state, memory } = withoutMemoryFile(snapshot);
    const own = new Snapshot(state, memory.share());
    const pool = new MachinePool(own, size, options);
    try {
      while (pool.#waiting.length < size) {
        pool.#waiting.push(await pool.#make());
      }
      return pool;
    } catch (error) {
      await pool[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** How many machines are ready. */
  get ready(): number {
    return this.#waiting.length;
  }

  /**
   * A machine that goes on from the snapshot now. Another one is made for the
   * pool in a moment; if none is ready, this one is made first.
   *
   * @throws {VireoError} it can't be made
   */
  async fork(options: ForkOptions = {}): Promise<Machine> {
    if (this.#closed) throw new VireoError("pool: it is closed");
    const { machine, options: late } = await this.#take();
    late.target = options;
    await machine.resume();
    this.#timer ??= new Alarm(REFILL_AFTER, () => this.#refill());
    return machine;
  }

  /** Ends the machines that wait. Those that were forked go on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    await this.#refilling;
    await Promise.all(this.#waiting.map(({ machine }) => machine.stop()));
    this.#waiting.length = 0;
    this.#snapshot[Symbol.dispose]();
  }

  async #take(): Promise<Waiting> {
    for (;;) {
      const waiting = this.#waiting.shift();
      if (waiting?.machine.state === "paused") return waiting;
      if (waiting === undefined) break; // else it has ended meanwhile
    }
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure;
    return await this.#make();
  }

  #refill(): void {
    this.#timer = undefined;
    this.#refilling ??= this.#fill()
      .catch((error) => void (this.#failure = error))
      .finally(() => this.#refilling = undefined);
  }

  async #fill(): Promise<void> {
    while (!this.#closed && this.#waiting.length < this.#size) {
      this.#waiting.push(await this.#make());
    }
  }

  async #make(): Promise<Waiting> {
    const overrides = await this.#options.overrides?.(this.#made++) ?? {};
    checkShared(this.#snapshot.state, overrides, "pool");
    const options = new LateOptions();
    const machine = await Machine.restore(this.#snapshot, overrides, options);
    await machine.pause(); // it begins so
    machine.start();
    await machine.pause();
    if (machine.state === "paused") return { machine, options };
    const { message, reason } = await machine.stop();
    throw new VireoError(`pool: the machine has ended: ${message ?? reason}`);
  }
}

/** Passes on what a machine tells to whoever it is for, once that is known. */
class LateOptions implements ForkOptions {
  target: ForkOptions = {};

  onOutput(bytes: Uint8Array): unknown {
    return this.target.onOutput?.(bytes);
  }

  onLog(message: string): void {
    this.target.onLog?.(message);
  }

  onEvent(event: OwnEvent): void {
    this.target.onEvent?.(event);
  }

  onBooted(milliseconds: number): void {
    this.target.onBooted?.(milliseconds);
  }

  onHalted(): void {
    this.target.onHalted?.();
  }
}
