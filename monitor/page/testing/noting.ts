/**
 * For tests: machines that are none, on pages.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { BalloonCommand } from "../../../devices/virtio/balloon/command.ts";
import { VireoError } from "../../../ffi/error.ts";
import { BalloonHandle } from "../../../vmm/devices/balloon_handle.ts";
import type { PageInput, WatchedMachine } from "../../../vmm/live_page.ts";
import type { MachineState } from "../../../vmm/machine_state.ts";
import type { Snapshot } from "../../../vmm/snapshot/mod.ts";
import type { TraceEvent, TraceFilter } from "../../../vmm/trace/events.ts";
import type { MachineMetrics } from "../../../vmm/trace/metrics.ts";
import { Page } from "../page.ts";
import type { Shown } from "../shown.ts";

/** Any port of this host's. */
export const HERE = { hostname: "127.0.0.1", port: 0 };

/** A machine that notes what it is told. */
export class Noting implements WatchedMachine {
  /** What it is. */
  state: MachineState = "running";
  /** What it was told. */
  readonly told: string[] = [];
  /** Its numbers. */
  numbers: MachineMetrics = {
    memory: 16 << 20,
    vcpus: [{ exits: { io: 3 } }],
    devices: [],
  };
  /** What its balloon answers. */
  readonly balloon: BalloonHandle = new BalloonHandle(
    (command) => this.#balloon(command),
  );

  metrics(): Promise<MachineMetrics> {
    return Promise.resolve(this.numbers);
  }

  /** Three hundred events, and then none for ever. */
  async *batches(signal: AbortSignal): AsyncGenerator<TraceEvent[], undefined> {
    const step = { type: "step", time: 1, number: 0, device: "d0", why: "" };
    try {
      yield new Array(300).fill({ ...step, step: "reset" });
      await new Promise((done) => signal.addEventListener("abort", done));
    } finally {
      this.told.push("the log is closed");
    }
  }

  traceBatches(
    { types, devices, last, signal }: TraceFilter = {},
  ): Promise<AsyncGenerator<TraceEvent[], undefined>> {
    this.told.push(`${types} of ${devices ?? "all"}, ${last} at once`);
    if (types?.includes("own")) throw new Error("trace: no such type");
    return Promise.resolve(this.batches(signal!));
  }

  pause(): Promise<void> {
    this.state = "paused";
    return Promise.resolve();
  }

  resume(): Promise<void> {
    this.state = "running";
    return Promise.resolve();
  }

  powerButton(): void {
    throw new Error("power button: only a guest with ACPI has one");
  }

  snapshot(): Promise<Snapshot> {
    const save = (folder: string) => void this.told.push(`saved in ${folder}`);
    const snapshot = { save, [Symbol.dispose]: () => {} };
    return Promise.resolve(snapshot as unknown as Snapshot);
  }

  #balloon(command: BalloonCommand): Promise<unknown> {
    this.told.push(JSON.stringify(command));
    if (command.type === "set-target" && command.mib > 16) {
      throw new VireoError("balloon: more than the guest's memory");
    }
    return Promise.resolve({ target_mib: 4, actual_mib: 2 });
  }
}

/** A page that shows one machine. */
export function pageOf(
  machine: WatchedMachine,
  input: PageInput = () => undefined,
  folder?: string,
): { page: Page; shown: Shown } {
  const page = new Page("--monitor", HERE, assert.fail, folder);
  const shown = page.add("vireo");
  shown.watch(machine, input);
  return { page, shown };
}
