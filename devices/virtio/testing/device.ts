/**
 * A device that only remembers what it was told: for tests of transports.
 *
 * @module
 */
import type { DeviceContext, VirtioDevice } from "../device.ts";
import type { VirtQueue } from "../queue/queue.ts";
import { type FeatureWords, featureWords } from "../spec.ts";

/** What a {@linkcode RecordingDevice} is made of. */
export interface RecordingDeviceOptions {
  /** Offered feature bits besides VERSION_1. */
  features?: readonly number[];
  /** The largest size of each queue; default: 8 and 256. */
  queueSizes?: readonly number[];
  /** The configuration space; default: eight bytes 1 to 8. */
  config?: Uint8Array;
}

/** A device with a log of calls instead of a function. */
export class RecordingDevice implements VirtioDevice {
  /** None that the specification gives away. */
  readonly deviceId = 63;
  readonly features: FeatureWords;
  readonly queueSizes: readonly number[];
  readonly config: Uint8Array;
  /** The calls so far, such as `notify 1` and `reset`. */
  readonly calls: string[] = [];
  /** What the device may ask of its thread. */
  context!: DeviceContext;
  /** Runs in the middle of a reset. */
  duringReset: () => void = () => {};

  /** A device that was told nothing so far. */
  constructor(options: RecordingDeviceOptions = {}) {
    this.features = featureWords(...(options.features ?? []));
    this.queueSizes = options.queueSizes ?? [8, 256];
    this.config = options.config ?? Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  }

  attach(context: DeviceContext): void {
    this.context = context;
  }

  activate(): void {
    const live = this.context.queues.filter((queue) => queue.live);
    this.calls.push(["activate", ...live.map((q) => q.index)].join(" "));
  }

  notify(queue: VirtQueue): void {
    this.calls.push(`notify ${queue.index}`);
  }

  reset(queue?: VirtQueue): void {
    this.calls.push(queue === undefined ? "reset" : `reset ${queue.index}`);
    this.duringReset();
  }

  writeConfig(offset: number, size: number, value: number): void {
    this.calls.push(`config ${offset}/${size} = ${value}`);
  }

  close(): void {
    this.calls.push("close");
  }
}
