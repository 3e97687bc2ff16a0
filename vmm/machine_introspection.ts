/**
 * What of a machine can be looked at, and stepped through, while it doesn't run.
 *
 * @module
 */
import { comesInTime } from "../ffi/alarm.ts";
import { VireoError } from "../ffi/error.ts";
import type { MachineParts } from "./build.ts";
import type { ResolvedConfig } from "./config/mod.ts";
import type { MachineEnd } from "./messages.ts";
import type { Snapshot } from "./snapshot/mod.ts";
import type { MachineView } from "./introspection/machine_view.ts";
import type { MachineOptions } from "./machine_options.ts";
import { MachineDevices } from "./machine_devices.ts";
import type { GdbModule, GdbOptions, GdbServer } from "./introspection/gdb.ts";

/** How long the devices of a machine that has ended may take to come to rest. */
const REST_LIMIT = 30_000;

type Introspection = typeof import("./introspection/mod.ts");

/** Not literals in `import()`: those are read at the start, needed or not. */
const INTROSPECTION = new URL("./introspection/mod.ts", import.meta.url).href;
const GDB = new URL("../monitor/gdb/mod.ts", import.meta.url).href;

/** A machine, as one that can be looked into. */
export abstract class MachineIntrospection extends MachineDevices {
  /**
   * Pauses the machine if it runs, does `work`, and lets it go on.
   *
   * @internal
   * @param what names the work in the error that the machine is not there
   */
  protected abstract atRest<T>(
    what: string,
    work: (parts: MachineParts, config: ResolvedConfig) => Promise<T>,
  ): Promise<T>;

  /** Has the devices rest, when the vCPUs do. @internal */
  protected abstract pauseDevices(): Promise<void>;
  /** Stops all vCPUs, then the devices, until {@linkcode resume}. */
  abstract pause(): Promise<void>;
  /** Goes on after {@linkcode pause}. */
  abstract resume(): Promise<void>;
  /** Ends the machine, whatever the guest is doing. */
  abstract stop(): Promise<MachineEnd>;
  /** Waits for the end. */
  abstract override wait(): Promise<MachineEnd>;
  /** What the machine is now. */
  abstract snapshot(): Promise<Snapshot>;
  /** This very machine is back at `snapshot`. */
  abstract reset(snapshot: Snapshot): Promise<void>;

  #gdb: GdbServer | undefined;
  readonly #debugStops = new Set<(vcpu: number) => void>();

  /**
   * Shows the machine to `look`: registers, memory, queues. A running machine is
   * paused for it, and goes on when `look` has returned, or its promise has
   * resolved; what it was given is of no use afterwards.
   *
   * @throws {VireoError} the machine has not begun or has ended
   *
   * @example
   * ```ts ignore
   * const rip = await machine.introspect(({ vcpus }) => vcpus[0].registers.rip);
   * console.log(await machine.introspect((view) => view.state()));
   * ```
   */
  async introspect<T>(look: (view: MachineView) => T | Promise<T>): Promise<T> {
    const { MachineView }: Introspection = await import(INTROSPECTION);
    return await this.atRest("introspect", async (parts, config) => {
      this.begins("introspect");
      using view = new MachineView(parts, config);
      return await look(view);
    });
  }

  /**
   * Writes an ELF core of the machine, for gdb and the kernel's vmlinux. A running
   * machine is paused for it.
   *
   * @param path a new file, for its owner only
   * @throws {VireoError} it can't be written, or the machine is not there
   */
  async dump(path: string): Promise<void> {
    await this.introspect((view) => view.dump(path));
  }

  /**
   * Lets gdb attach: `target remote` with what the server says. The guest is
   * stopped from a debugger's first word until it lets it go on, or goes.
   *
   * @returns the server; without an address, the one that there is already
   * @throws {VireoError} nobody can listen there, or there is another
   */
  async gdb(options: GdbOptions = {}): Promise<GdbServer> {
    const { serveGdb }: GdbModule = await import(GDB);
    const before = this.#gdb;
    if (before === undefined || before.closed) {
      return this.#gdb = serveGdb(this, options);
    }
    if (options.address === undefined) return before;
    throw new VireoError(`gdb: can attach already, at ${before.target}`);
  }

  /**
   * Calls `stopped` with a vCPU's number each time that one stops for a debugger.
   *
   * @internal
   */
  onDebugStop(stopped: (vcpu: number) => void): Disposable {
    this.#debugStops.add(stopped);
    return { [Symbol.dispose]: () => this.#debugStops.delete(stopped) };
  }

  /** Its owner looks at what has ended. */
  protected showsRemains = false;

  /**
   * The threads of the vCPUs have ended, and all else is still there.
   *
   * @internal
   */
  protected async showRemains(
    parts: MachineParts,
    config: ResolvedConfig,
    { atEnd, onLog }: MachineOptions,
    end: MachineEnd,
  ): Promise<void> {
    if (atEnd === undefined) return;
    this.showsRemains = true;
    try {
      const { MachineView }: Introspection = await import(INTROSPECTION);
      const inTime = async () => {
        if (await comesInTime(this.pauseDevices(), REST_LIMIT)) return;
        throw new VireoError("snapshot: a device doesn't come to rest");
      };
      using view = new MachineView(parts, config, inTime);
      await atEnd(view, end);
    } catch (error) {
      onLog?.(error instanceof Error ? error.message : `${error}`);
    } finally {
      this.showsRemains = false;
    }
  }

  /** A vCPU waits for a debugger. */
  protected stoppedAt(vcpu: number): void {
    for (const stopped of this.#debugStops) stopped(vcpu);
  }
}
