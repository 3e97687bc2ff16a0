/**
 * A file that a machine's events are written to as they come.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { KiB, MiB } from "../../guest/layout.ts";
import { didYouMean, splitWords } from "../../vmm/devices/words.ts";
import type {
  TraceEvent,
  TraceEventType,
  TraceFilter,
} from "../../vmm/trace/events.ts";
import { checkFilter } from "../../vmm/trace/trace.ts";
import { EVENT_TYPES } from "../../vmm/trace/reader.ts";
import { ChromeTrace, FIRST_LINE } from "./chrome.ts";

/** Words of `--trace`, behind the file. */
export const TRACE_WORDS: readonly string[] = [
  ...EVENT_TYPES,
  "vcpu=N",
  "device=NAME",
  "max=SIZE",
];

const DEFAULT_MAX = 256 * MiB;
/** What is asked for by default: all but what its end tells, too. */
const DEFAULT_TYPES = EVENT_TYPES.filter((type) => type !== "begin");
const UNITS: Record<string, number> = { K: KiB, M: MiB, G: 1024 * MiB };

/** A file, and what it is to have. */
export interface TraceFileOptions {
  /** Its path. */
  path: string;
  /** Which events. */
  filter: TraceFilter;
  /** Bytes that it may have, at most. */
  max: number;
}

/** A machine whose events can be had. */
export interface Traced {
  /** `Machine.traceBatches`. */
  traceBatches(filter: TraceFilter): Promise<AsyncIterable<TraceEvent[]>>;
}

/**
 * Reads `FILE[,TYPE...][,vcpu=N][,device=NAME][,max=SIZE]`.
 *
 * @throws {VireoError} what is wrong with it
 */
export function parseTraceFile(text: string): TraceFileOptions {
  const [path = "", ...words] = splitWords(text);
  const types: TraceEventType[] = [];
  const vcpus: number[] = [];
  const devices: string[] = [];
  let max = DEFAULT_MAX;
  const wrong = (why: string) => new VireoError(`--trace ${text}: ${why}`);
  if (path === "") throw wrong("a file's name is missing");
  for (const word of words) {
    const [key, value] = word.split(/=(.*)/s) as [string, string?];
    const type = EVENT_TYPES.find((type) => type === word);
    const size = /^([1-9]\d*)([KMG])$/.exec(value ?? "");
    if (type) types.push(type);
    else if (key === "vcpu" && /^\d+$/.test(value ?? "")) {
      vcpus.push(Number(value));
    } else if (key === "device" && value) devices.push(value);
    else if (key === "max" && size) max = +size[1]! * UNITS[size[2]!]!;
    else {
      throw wrong(
        `"${word}" is not one of ${TRACE_WORDS.join(", ")}` +
          didYouMean(word, TRACE_WORDS),
      );
    }
  }
  return {
    path,
    max,
    filter: {
      types: types.length > 0 ? types : DEFAULT_TYPES,
      ...(vcpus.length > 0 && { vcpus }),
      ...(devices.length > 0 && { devices }),
    },
  };
}

/** An open file. It begins before the machine, and ends after it. */
export class TraceFile implements AsyncDisposable {
  readonly #file: Deno.FsFile;
  readonly #options: TraceFileOptions;
  readonly #say: (line: string) => void;
  readonly #trace = new ChromeTrace();
  #size = 0;
  #running: Promise<void> | undefined;

  /**
   * Opens the file. One that is there is replaced if it is a trace, or empty.
   *
   * @param say a line for the user
   * @throws {VireoError} it can't be had
   */
  constructor(options: TraceFileOptions, say: (line: string) => void) {
    checkFilter(options.filter);
    const { path } = options;
    using undo = new DisposableStack(); // unless it can be written
    try {
      if (!isReplaceable(path)) throw new Error("is there, and is no trace");
      const how = { write: true, create: true, truncate: true };
      this.#file = undo.use(Deno.openSync(path, how));
      this.#size += this.#file.writeSync(new TextEncoder().encode(FIRST_LINE));
    } catch (error) {
      const why = error instanceof Error ? error.message : `${error}`;
      throw new VireoError(`--trace ${path}: ${why.replace(/:? open .*/, "")}`);
    }
    undo.move();
    this.#options = options;
    this.#say = say;
  }

  /**
   * Writes what happens in `machine` from now on.
   *
   * @throws {VireoError} it has not what is asked for
   */
  async follow(machine: Traced): Promise<void> {
    const batches = await machine.traceBatches(this.#options.filter);
    this.#running = this.#write(batches).catch((error) => {
      this.#say(`trace: ${this.#options.path}: ${error.message}`);
    });
  }

  /** The rest is written, and the file is closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running;
    try {
      await writeAll(this.#file, "\n]\n");
    } catch {
      // That was said, and the format takes a file without.
    }
    this.#file.close();
  }

  async #write(batches: AsyncIterable<TraceEvent[]>): Promise<void> {
    const { max, path } = this.#options;
    for await (const batch of batches) {
      // By pieces, so that a batch is no large text.
      for (let i = 0; i < batch.length; i += 1000) {
        const text = this.#trace.add(batch.slice(i, i + 1000));
        this.#size += await writeAll(this.#file, text);
      }
      if (this.#size < max) continue;
      const size = max % MiB === 0 ? `${max / MiB} MiB` : `${max / KiB} KiB`;
      return this.#say(`trace: ${path} has its ${size}; the rest isn't in it`);
    }
  }
}

async function writeAll(file: Deno.FsFile, text: string): Promise<number> {
  const bytes = new TextEncoder().encode(text);
  for (let done = 0; done < bytes.length;) {
    done += await file.write(bytes.subarray(done));
  }
  return bytes.length;
}

/** Nobody's disk is lost to a slip of the keyboard. */
function isReplaceable(path: string): boolean {
  let stat: Deno.FileInfo;
  try {
    stat = Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return true;
    throw error;
  }
  if (stat.isCharDevice) return true; // such as /dev/null
  if (!stat.isFile) return false;
  if (stat.size === 0) return true;
  using file = Deno.openSync(path);
  const start = new Uint8Array(8);
  const length = file.readSync(start) ?? 0;
  const text = new TextDecoder().decode(start.subarray(0, length));
  return text.startsWith(`${FIRST_LINE}\n{"ph"`) || /^\[\n\]?\n?$/.test(text);
}
