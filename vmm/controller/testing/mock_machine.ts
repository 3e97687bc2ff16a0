/**
 * For tests: a machine that only does as if.
 *
 * @module
 */
import { VireoError } from "../../../ffi/error.ts";
import type { GuestProcess, SpawnOptions } from "../../agent/mod.ts";
import type { MachineState } from "../../machine_state.ts";
import type { MachineMetrics } from "../../trace/metrics.ts";
import type { Snapshot } from "../../snapshot/mod.ts";
import { type ControlledMachine, Controller } from "../controller.ts";

/** It keeps what was asked of it. */
export class MockMachine implements ControlledMachine {
  /** Where it is in its life. */
  state: MachineState = "running";
  /** What was asked, in order. */
  readonly asked: string[] = [];
  /** Resolves when what was asked may be done. */
  ready: Promise<void> = Promise.resolve();

  /** Its controller. */
  readonly controller: Controller = new Controller(this, {
    name: "mock",
    command: ["mock"],
    cpus: 1,
    memory: 4096,
  });

  /** Is paused. */
  async pause(): Promise<void> {
    this.asked.push("pause");
    await this.ready;
    this.state = "paused";
  }

  /** Runs. */
  async resume(): Promise<void> {
    this.asked.push("resume");
    await this.ready;
    this.state = "running";
  }

  /** Has none. */
  powerButton(): void {
    this.asked.push("power button");
    throw new VireoError("no\npower button");
  }

  /** Listens nowhere. */
  gdb(): Promise<{ target: string }> {
    this.asked.push("gdb");
    return Promise.resolve({ target: "/mock/gdb" });
  }

  /** Writes nothing. */
  dump(path: string): Promise<void> {
    this.asked.push(`dump ${path}`);
    return Promise.resolve();
  }

  /** Runs nothing. */
  // deno-lint-ignore require-await
  async spawn(
    command: string[],
    _options: SpawnOptions,
  ): Promise<GuestProcess> {
    this.asked.push(`spawn ${command.join(" ")}`);
    throw new VireoError("exec: no agent");
  }

  /** It does nothing. */
  metrics(): Promise<MachineMetrics> {
    return Promise.resolve({ memory: 4096, vcpus: [], devices: [] });
  }

  /** Saves nothing. */
  async snapshot(): Promise<Snapshot> {
    this.asked.push("snapshot");
    await this.ready;
    return {
      save: (folder: string) => this.asked.push(`save ${folder}`),
      [Symbol.dispose]() {},
    } as unknown as Snapshot;
  }
}
