/**
 * What a machine's state can be made of while it runs.
 *
 * @module
 */
import { snapshots } from "./lazy.ts";
import { MachineIntrospection } from "./machine_introspection.ts";
import type { Machine } from "./machine.ts";
import type { MachineOptions } from "./machine_options.ts";
import type { Overrides, Snapshot, SnapshotOptions } from "./snapshot/mod.ts";

/** A machine, as one that can be copied and put back. */
export abstract class MachineSnapshots extends MachineIntrospection {
  /**
   * What the machine is now. A running machine is paused for it.
   *
   * @throws {VireoError} it has not begun or has ended, or a part of it can't
   * be saved
   */
  async snapshot(options: SnapshotOptions = {}): Promise<Snapshot> {
    const { takeSnapshot } = await snapshots();
    return await this.atRest("snapshot", (parts, config) => {
      this.begins("snapshot");
      return takeSnapshot(parts, config, options);
    });
  }

  /**
   * This very machine is back at `snapshot`, which is one of its own, or of a
   * machine of the same configuration. It is running or paused, as it was.
   * Output until now has come before; input that the guest has not read is
   * dropped. What its devices have done on the host stays done.
   *
   * @throws {VireoError} it has not begun or has ended; or the snapshot is not
   * of such a machine, which ends it if that shows too late
   */
  async reset(snapshot: Snapshot): Promise<void> {
    const { resetMachine } = await snapshots();
    await this.atRest("reset", (parts) => {
      this.begins("reset");
      return resetMachine(this, parts, snapshot);
    });
  }

  /**
   * Another machine, which runs on from here as this one does.
   *
   * @param overrides what it has otherwise: all on the host that two machines
   * can't share must be in it
   * @throws {VireoError} something can't be had, or is missing, in one line;
   * this machine goes on
   */
  async fork(
    overrides: Overrides = {},
    options: MachineOptions = {},
  ): Promise<Machine> {
    const { forkMachine } = await snapshots();
    return await forkMachine(this, overrides, options);
  }
}
