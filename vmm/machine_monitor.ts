/**
 * What can be seen of a machine while it runs.
 *
 * @module
 */
import type { MachineParts } from "./build.ts";
import { MachineLife, type MachineState } from "./machine_state.ts";
import type { TraceEvent, TraceFilter } from "./trace/events.ts";
import type { FlightRecorder } from "./trace/flight_recorder.ts";
import type { MachineMetrics } from "./trace/metrics.ts";

/** Not literals in `import()`: those are read at the start, needed or not. */
const TRACE = new URL("./trace/trace.ts", import.meta.url).href;
const FLIGHT = new URL("./trace/flight_recorder.ts", import.meta.url).href;
const METRICS = new URL("./trace/metrics.ts", import.meta.url).href;

/** A machine, as one that is watched. */
export abstract class MachineMonitor {
  /** @internal */
  protected abstract readonly parts: MachineParts;
  /** @internal */
  protected readonly life: MachineLife = new MachineLife();

  /** Where the machine is in its life. */
  get state(): MachineState {
    return this.life.state;
  }

  /** Waits for the end. */
  abstract wait(): Promise<unknown>;

  /** Says what is done while the machine is paused. */
  protected begins(work: string): void {
    for (const tell of this.life.told) tell(this.life.state, work);
  }

  /** True from the first moment of the end on. */
  protected get over(): boolean {
    return this.life.over;
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
   * The vCPUs' threads; 0: it has not begun, or has ended.
   *
   * @internal
   */
  get threads(): number[] {
    const { vcpus, control } = this.parts;
    return vcpus.map((_, id) => control.threadOf(id));
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

  /**
   * What happens in the machine, as it happens: from soon after the first
   * `next()` on to the machine's end. Of what comes too fast, a `lost` event says
   * how much; the machine never waits. Nothing is recorded while nobody wants it.
   * To have its first exits, wait for `traceBatches` before `start`.
   *
   * @throws {VireoError} at the first `next()`: `filter` wants what there is not
   *
   * @example
   * ```ts ignore
   * for await (const event of machine.trace({ types: ["request"] })) {
   *   console.log(event);
   * }
   * ```
   */
  async *trace(filter?: TraceFilter): AsyncGenerator<TraceEvent, undefined> {
    for await (const batch of await this.traceBatches(filter)) yield* batch;
  }

  /**
   * {@linkcode MachineMonitor.trace}, many at a time, for who has no time. It
   * has begun when the promise resolves, and is to be iterated then.
   *
   * @throws {VireoError} `filter` wants what there is not
   */
  async traceBatches(
    filter?: TraceFilter,
  ): Promise<AsyncGenerator<TraceEvent[], undefined>> {
    const { batchesOf }: typeof import("./trace/trace.ts") = await import(
      TRACE
    );
    return batchesOf(this.parts, this.life, this.wait(), filter);
  }

  /**
   * From now on the last `count` events are kept, which can be asked for also
   * after the machine's end.
   *
   * @throws {VireoError} `filter` wants what there is not
   */
  async flightRecorder(
    count = 1000,
    filter: TraceFilter = {},
  ): Promise<FlightRecorder> {
    const { FlightRecorder }: typeof import("./trace/flight_recorder.ts") =
      await import(FLIGHT);
    return new FlightRecorder(this.parts, count, filter);
  }
}
