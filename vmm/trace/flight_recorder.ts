/**
 * The last events of a machine, kept for whoever asks afterwards what came
 * before.
 *
 * @module
 */
import type { MachineParts } from "../build.ts";
import type { TraceEvent, TraceFilter } from "./events.ts";
import { TraceReader } from "./reader.ts";
import { checkFilter } from "./trace.ts";

/** Keeps the last events. They cost what recording them costs, and no reader. */
export class FlightRecorder implements Disposable {
  readonly #count: number;
  readonly #reader: TraceReader;
  #events: TraceEvent[] = [];

  /** @internal Of the machine of these parts, so many at most. */
  constructor(parts: MachineParts, count: number, filter: TraceFilter) {
    checkFilter(filter, parts.devices.map(({ name }) => name));
    this.#count = count;
    this.#reader = new TraceReader(parts, { ...filter, last: count });
  }

  /** The last events of all threads, in the order of their ends. */
  last(): TraceEvent[] {
    const more = this.#reader.read().filter(({ type }) => type !== "lost");
    this.#events = [...this.#events, ...more].sort((a, b) => end(a) - end(b))
      .slice(-this.#count);
    return [...this.#events];
  }

  /** Nothing is kept any more. */
  [Symbol.dispose](): void {
    this.#reader[Symbol.dispose]();
  }
}

function end(event: TraceEvent): number {
  return event.time + ("duration" in event ? event.duration : 0);
}
