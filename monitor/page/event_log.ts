/**
 * What happens in a machine, for a page that asks for it: the last of it, twice
 * a second, however much that is. Of what isn't shown nothing is made: a thread
 * overwrites it, and it is counted.
 *
 * @module
 */
import type { TraceEvent, TraceFilter } from "../../vmm/trace/events.ts";

/** Of what came at once, so many of a thread are made, and so many shown. */
const MAX_EVENTS = 200;
/** Milliseconds from one time to the next. */
const INTERVAL = 500;

/** Whose events they are: a `Machine` is one. */
export interface Traced {
  /** `Machine.traceBatches`. */
  traceBatches(
    filter: TraceFilter,
  ): Promise<AsyncGenerator<TraceEvent[], undefined>>;
}

/**
 * Server-sent events, of the machine's.
 *
 * @param filter which are wanted
 * @param closed told when the reader has gone, or the machine has ended
 * @throws {VireoError} there are none of a type
 */
export async function eventLog(
  machine: Traced,
  filter: TraceFilter,
  closed: () => void,
): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  const reader = new AbortController();
  const batches = await machine.traceBatches({
    ...filter,
    last: MAX_EVENTS,
    signal: reader.signal,
  });
  const encoder = new TextEncoder();
  let asked = false;
  let batch: IteratorResult<TraceEvent[], undefined> | undefined;
  let timer: ReturnType<typeof setTimeout>;
  let goOn = () => {};
  const pause = () =>
    new Promise<void>((done) => {
      goOn = done;
      timer = setTimeout(done, INTERVAL);
    });
  const ask = async () => {
    asked = true;
    batch = await batches.next();
    asked = false;
    goOn();
  };
  void ask(); // what was begun ends only if it has been asked
  return new ReadableStream({
    async pull(controller) {
      if (batch === undefined) {
        if (!asked) void ask();
        await pause();
      }
      clearTimeout(timer);
      if (reader.signal.aborted) return;
      // That a reader has gone shows when it is written to.
      if (batch === undefined) {
        return controller.enqueue(encoder.encode(":\n\n"));
      }
      const { value, done } = batch;
      batch = undefined;
      if (done) {
        closed();
        return controller.close();
      }
      const events = value.slice(-MAX_EVENTS);
      const data = { events, left_out: value.length - events.length };
      controller.enqueue(encoder.encode(`data: ${JSON.stringify(data)}\n\n`));
      await pause();
    },
    cancel() {
      reader.abort();
      void batches.return(undefined);
      clearTimeout(timer);
      goOn();
      closed();
    },
  }, { highWaterMark: 0 });
}
