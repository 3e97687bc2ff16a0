/**
 * What can be seen of a machine while it runs.
 *
 * @module
 */
import type { MachineParts } from "./build.ts";
import type { MachineState } from "./machine_state.ts";
import type { MachineMetrics } from "./trace/metrics.ts";

/** Not a literal in `import()`: that is read at the start, needed or not. */
const METRICS = new URL("./trace/metrics.ts", import.meta.url).href;

/** A machine, as one that is watched. */
export abstract class MachineMonitor {
  /** @internal */
  protected abstract readonly parts: MachineParts;
  /** Where the machine is in its life. */
  abstract readonly state: MachineState;

  /** True from the first moment of the end on. */
  protected get over(): boolean {
    return this.state === "ending" || this.state === "ended";
  }

  /**
   * How often the vCPUs have left the guest for Vireo so far. Doorbells and
   * interrupts that KVM handles are not among it.
   */
  get exits(): number {
    const { vcpus, control } = this.parts;
    return vcpus.reduce((sum, _, id) => sum + control.exits(id), 0);
  }

  /**
   * What the machine has done so far, as numbers. They are always counted, and
   * reading them disturbs nobody; after the end they are the last.
   */
  async metrics(): Promise<MachineMetrics> {
    const { metricsOf }: typeof import("./trace/metrics.ts") = await import(
      METRICS
    );
    return metricsOf(this.parts);
  }
}
