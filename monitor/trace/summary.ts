/**
 * What a trace's file says on the whole: what took the vCPUs' time, and how long
 * requests took. It is read line by line, whatever its size.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { FIRST_LINE } from "./chrome.ts";

/** The longest line of a file: texts in it are short. */
const LINE_MAX = 64 * 1024;

/** A guest may touch any register: so many have lines of their own. */
const NAMES_MAX = 1000;
/** What all others are under. */
const OTHERS = "(others)";

/** Durations of one kind of event. */
export interface Durations {
  /** Of what: `d0 QueueNotify`, or `d0 read`. */
  name: string;
  /** How many there were. */
  count: number;
  /** Microseconds, all together. */
  total: number;
  /** Bytes of data, all together. */
  bytes: number;
  /** Microseconds: the middle, and what 90, 99 and 100 of 100 stay below. */
  percentiles: [p50: number, p90: number, p99: number, max: number];
}

/** A file's sums. */
export interface TraceSummary {
  /** Seconds from its first event to its last. */
  seconds: number;
  /** Exits by what they were for, those that took longest first. */
  exits: Durations[];
  /** Requests by device and type, most first. */
  requests: Durations[];
  /** Other events: how many of each. */
  others: Record<string, number>;
  /** Events that came too fast for the file. */
  lost: number;
}

interface ChromeEvent {
  ph?: string;
  cat?: string;
  name?: string;
  pid?: number;
  ts?: number;
  dur?: number;
  args?: Record<string, unknown>;
}

/**
 * Reads a file of `--trace`; one that was cut off, too.
 *
 * @throws {VireoError} it can't be read, or is something else
 */
export async function summarise(path: string): Promise<TraceSummary> {
  const sums = new Sums();
  let number = 0;
  try {
    using file = await Deno.open(path);
    for await (const line of linesOf(file.readable)) {
      if (number++ === 0) {
        if (line !== FIRST_LINE) throw new VireoError("is no trace of Vireo's");
        continue;
      }
      const text = line.replace(/,$/, "");
      if (text === "" || text === "]") continue;
      let event: ChromeEvent;
      try {
        event = JSON.parse(text);
      } catch {
        if (number > 2) break; // the last line of a process that was killed
        throw new VireoError("is no trace of Vireo's");
      }
      sums.add(event);
    }
  } catch (error) {
    if (error instanceof Deno.errors.BadResource) return sums.result(); // read
    const why = error instanceof Error ? error.message : `${error}`;
    throw new VireoError(`${path}: ${why.replace(/:? open .*/, "")}`);
  }
  return sums.result();
}

class Sums {
  readonly #processes = new Map<number, string>();
  readonly #exits = new Map<string, Histogram>();
  readonly #requests = new Map<string, Histogram>();
  readonly #others: Record<string, number> = Object.create(null);
  #kinds = 0;
  #first = Infinity;
  #last = 0;
  #lost = 0;

  add({ ph, cat, name = "", pid = 0, ts, dur = 0, args }: ChromeEvent): void {
    if (ph === "M") {
      if (name === "process_name") this.#processes.set(pid, `${args?.name}`);
      return;
    }
    if (cat === "flow" || typeof ts !== "number") return;
    this.#first = Math.min(this.#first, ts);
    this.#last = Math.max(this.#last, ts + dur);
    const device = this.#processes.get(pid) ?? `${pid}`;
    if (cat === "exit") histogram(this.#exits, name).add(dur, 0);
    else if (cat === "request") {
      const bytes = Number(args?.bytes ?? 0);
      histogram(this.#requests, `${device} ${name}`).add(dur, bytes);
    } else if (cat === "lost") this.#lost += Number(args?.count ?? 0);
    else {
      const own = `${device} ${name}`;
      const known = own in this.#others || this.#kinds++ < NAMES_MAX;
      const key = known ? own : OTHERS;
      this.#others[key] = (this.#others[key] ?? 0) + 1;
    }
  }

  result(): TraceSummary {
    const sorted = (all: Map<string, Histogram>) =>
      [...all].map(([name, one]) => one.durations(name))
        .sort((a, b) => b.total - a.total);
    return {
      seconds: Math.max(0, this.#last - this.#first) / 1e6,
      exits: sorted(this.#exits),
      requests: sorted(this.#requests),
      others: this.#others,
      lost: this.#lost,
    };
  }
}

/** Steps of a power of two, so that percentiles are right to 2 %. */
const STEPS = 32;
/** From 2^-10 of a microsecond to 2^42 of them. */
const LOWEST = 10;
const BUCKETS = STEPS * (LOWEST + 42);

/** Durations, in as much memory however many there are. */
class Histogram {
  readonly #buckets = new Uint32Array(BUCKETS);
  #count = 0;
  #total = 0;
  #bytes = 0;
  #max = 0;

  add(microseconds: number, bytes: number): void {
    const bucket = Math.round(STEPS * (Math.log2(microseconds) + LOWEST));
    this.#buckets[Math.min(Math.max(bucket, 0), BUCKETS - 1)]!++;
    this.#count++;
    this.#total += microseconds;
    this.#bytes += bytes;
    this.#max = Math.max(this.#max, microseconds);
  }

  durations(name: string): Durations {
    return {
      ...{ name, count: this.#count, total: this.#total, bytes: this.#bytes },
      percentiles: [this.#at(0.5), this.#at(0.9), this.#at(0.99), this.#max],
    };
  }

  #at(part: number): number {
    let left = Math.ceil(this.#count * part);
    const bucket = this.#buckets.findIndex((count) => (left -= count) <= 0);
    return Math.min(2 ** (bucket / STEPS - LOWEST), this.#max);
  }
}

function histogram(all: Map<string, Histogram>, name: string): Histogram {
  const key = all.size < NAMES_MAX || all.has(name) ? name : OTHERS;
  const found = all.get(key) ?? new Histogram();
  all.set(key, found);
  return found;
}

async function* linesOf(
  stream: ReadableStream<Uint8Array>,
): AsyncGenerator<string, undefined> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n");
    rest = parts.pop()!;
    yield* parts;
    if (rest.length > LINE_MAX) throw new VireoError("is no trace of Vireo's");
  }
  if (rest !== "") yield rest;
}
