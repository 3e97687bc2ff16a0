/**
 * A machine's events as they come.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import type { MachineParts } from "../build.ts";
import { didYouMean } from "../devices/words.ts";
import { Recorder } from "../../ffi/recorder.ts";
import type { MachineLife, MachineState } from "../machine_state.ts";
import type { StateEvent, TraceEvent, TraceFilter } from "./events.ts";
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
  life: MachineLife,
  ended: Promise<unknown>,
  filter: TraceFilter = {},
): AsyncGenerator<TraceEvent[], undefined> {
  checkFilter(filter, parts.devices.map(({ name }) => name));
  const reader = new TraceReader(parts, filter);
  const states: StateEvent[] = [];
  const clock = new Recorder(parts.vcpus[0]!.start.record);
  let number = 0;
  const tell = (state: MachineState, work?: string) => {
    const of = { type: "state", time: clock.now(), number: number++ } as const;
    states.push({ ...of, state, ...(work !== undefined && { work }) });
  };
  const wanted = filter.types?.includes("state") ?? true;
  if (wanted) {
    tell(life.state);
    life.told.add(tell);
  }
  const done = () => void life.told.delete(tell);
  const { promise: aborted, resolve } = Promise.withResolvers<void>();
  filter.signal?.addEventListener("abort", () => resolve());
  if (filter.signal?.aborted) resolve();
  return batches(reader, states, done, Promise.race([ended, aborted]));
}

async function* batches(
  reader: TraceReader,
  states: StateEvent[], // the steps of the machine's life, as they come
  done: () => void,
  ended: Promise<unknown>,
): AsyncGenerator<TraceEvent[], undefined> {
  using stack = new DisposableStack();
  stack.use(reader);
  stack.defer(done);
  let over = false;
  const end = ended.then(() => over = true, () => over = true);
  for (let last = false; !last;) {
    const pause = Promise.withResolvers<void>();
    const timer = setTimeout(pause.resolve, INTERVAL);
    await Promise.race([pause.promise, end]);
    clearTimeout(timer);
    last = over; // what came while the last batch was being read, too
    const events = [...states.splice(0), ...reader.read()];
    if (events.length > 0) yield events;
  }
}
