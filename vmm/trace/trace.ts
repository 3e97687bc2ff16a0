/**
 * A machine's events as they come.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import type { MachineParts } from "../build.ts";
import { didYouMean } from "../devices/words.ts";
import type { TraceEvent, TraceFilter } from "./events.ts";
import { EVENT_TYPES, TraceReader } from "./reader.ts";

/** Milliseconds between two looks; a thread keeps 16,384 events meanwhile. */
const INTERVAL = 10;

/**
 * Checks a filter.
 *
 * @param devices names of the devices that there are; default: any
 * @throws {VireoError} it asks for what there is not
 */
export function checkFilter(filter: TraceFilter, devices?: string[]): void {
  for (const type of filter.types ?? []) {
    if (type === "lost" || EVENT_TYPES.includes(type)) continue;
    throw new VireoError(
      `trace: no events are of type "${type}", but of ` +
        EVENT_TYPES.join(", ") + didYouMean(type, EVENT_TYPES),
    );
  }
  for (const name of devices ? filter.devices ?? [] : []) {
    if (devices!.includes(name)) continue;
    const those = devices!.join(", ") || "none";
    throw new VireoError(`trace: no device "${name}"; there are ${those}`);
  }
}

/**
 * Batches of events, from now on until the machine's end, and what was left
 * then.
 *
 * @param ended resolves at the machine's end
 * @throws {VireoError} `filter` wants what there is not
 */
export function batchesOf(
  parts: MachineParts,
  ended: Promise<unknown>,
  filter: TraceFilter = {},
): AsyncGenerator<TraceEvent[], undefined> {
  checkFilter(filter, parts.devices.map(({ name }) => name));
  return batches(new TraceReader(parts, filter), ended);
}

async function* batches(
  reader: TraceReader,
  ended: Promise<unknown>,
): AsyncGenerator<TraceEvent[], undefined> {
  using _reader = reader;
  let over = false;
  const end = ended.then(() => over = true, () => over = true);
  while (!over) {
    const pause = Promise.withResolvers<void>();
    const timer = setTimeout(pause.resolve, INTERVAL);
    await Promise.race([pause.promise, end]);
    clearTimeout(timer);
    const events = reader.read();
    if (events.length > 0) yield events;
  }
}
