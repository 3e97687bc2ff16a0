/**
 * How a machine talks to its maker.
 *
 * @module
 */

import type { OwnEvent } from "../devices/own/context.ts";
import type { EarlyVcpu } from "./early_vcpu.ts";
import type { MachineView } from "./introspection/machine_view.ts";
import type { MachineEnd } from "./messages.ts";
import type { Orders } from "./orders/orders.ts";
import type { SharedDeviceWorker } from "./shared_devices/shared_device_worker.ts";
import type { PageSource } from "./snapshot/on_demand/on_demand.ts";

/** What a machine's maker is told while it lives. */
export interface MachineOptions {
  /** @internal What the prepared init is to do; default: nobody tells it. */
  orders?: Orders;
  /** @internal The first vCPU's worker, which has begun already. */
  early?: EarlyVcpu;
  /**
   * What the guest prints on its console, as it comes. Until a promise that
   * this returns resolves, no more comes, but for the rest at the machine's
   * end: a guest that prints more than 64 KiB meanwhile waits.
   */
  onOutput?(bytes: Uint8Array): unknown;
  /**
   * What the guest's clock (kvmclock) does of the time that the machine was
   * paused, or nowhere but in a snapshot: `catch-up` moves on by it. Default:
   * it stands still.
   */
  clock?: "catch-up";
  /**
   * The RAM is in a file without a name, so that the first fork copies none of
   * it. It has no huge pages then. Default: no; the first fork takes longer.
   */
  forkable?: boolean;
  /**
   * What a start has used of Deno's own program stays in this process's memory;
   * default: five seconds after the first start it is let go of, some 20 MiB, and
   * what is used again comes back from the host's page cache.
   */
  keepProgram?: boolean;
  /**
   * A thread in which this machine's devices work beside those of others;
   * default: they have one of their own. A machine with code of yours can't.
   */
  deviceWorker?: SharedDeviceWorker;
  /** One line: something went wrong in a device, or takes its time. */
  onLog?(message: string): void;
  /** A module of yours has emitted an event. */
  onEvent?(event: OwnEvent): void;
  /** The guest reported through the boot timer that it is up. */
  onBooted?(milliseconds: number): void;
  /**
   * What a snapshot names on the host is opened on its word, wherever it comes
   * from; but for code, which is always given by the caller. Default: no.
   */
  trust?: boolean;
  /**
   * Of a restored machine: where its RAM comes from, each page when it is first
   * touched; default: the snapshot's own file, which needn't be there otherwise.
   */
  pages?: PageSource;
  /** Aborted, a machine that still waits for such pages ends. */
  signal?: AbortSignal;
  /**
   * Other processes of this user can see the machine and steer it, as `vireo ps`
   * and `vireo pause` do, from a moment after its start on; default: no.
   */
  control?: boolean | ControlOptions;
  /**
   * The guest has ended, whatever it was that ended it: this is what is left of
   * it, until a promise that this returns resolves.
   */
  atEnd?(view: MachineView, end: MachineEnd): unknown;
  /**
   * A guest with ACPI has all its CPUs in HLT with interrupts off: it will do
   * nothing more, but stays until it is stopped. Any other guest ends then.
   */
  onHalted?(): void;
}

/** What other processes see of a machine. */
export interface ControlOptions {
  /** What to call it: letters, digits, `.`, `_` and `-`, not only digits. */
  name?: string;
  /** The program that started it and its arguments; default: this one. */
  command?: string[];
}
