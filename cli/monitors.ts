/**
 * `--metrics`, `--monitor` and `--trace`: what watches a machine from its start on.
 *
 * @module
 */
import { parsePlace, type Place } from "../monitor/address.ts";
import type { Exporter } from "../monitor/exporter.ts";
import type { Page } from "../monitor/page/page.ts";
import type { TraceFile, TraceFileOptions } from "../monitor/trace/file.ts";
import { VireoError } from "../ffi/error.ts";
import type { PageInput, ShownMachine } from "../vmm/live_page.ts";
import type { Machine } from "../vmm/machine.ts";
import { load } from "./load.ts";

/** The words of the command line. */
export interface MonitorWords {
  /** `[HOST:]PORT` or `unix:PATH`. */
  metrics?: string;
  /** `[HOST:]PORT`, or true for any port. */
  monitor?: string | true;
  /** Other hosts may see it. */
  public?: boolean;
  /** What the machine is called. */
  name?: string;
  /** `FILE[,WORD...]`. */
  trace?: string;
}

/** What a page calls a machine without a name. */
const NAME = "vireo";

type Port = Exclude<Place, { path: string }>;

/** What is to watch. */
export interface MonitorOptions {
  /** Where metrics are to be seen; default: nowhere. */
  metrics?: Place | undefined;
  /** Where the live page is; default: nowhere. */
  monitor?: Port | undefined;
  /** What a page calls it. */
  name?: string | undefined;
  /** Other hosts may see them. */
  isPublic: boolean;
  /** The file for what happens; default: none. */
  trace?: TraceFileOptions | undefined;
}

/**
 * Reads the words.
 *
 * @throws {VireoError} what is wrong with one
 */
export async function parseMonitors(
  words: MonitorWords,
): Promise<MonitorOptions> {
  const { metrics, monitor, trace } = words;
  const isPublic = words.public === true;
  if (isPublic && metrics === undefined && monitor === undefined) {
    throw new VireoError(
      "--public: of what? It goes with --metrics and --monitor",
    );
  }
  const options: MonitorOptions = { isPublic, name: words.name };
  if (metrics !== undefined) {
    options.metrics = parsePlace("--metrics", metrics, isPublic);
  }
  if (monitor !== undefined) options.monitor = portOf(monitor, isPublic);
  if (trace === undefined) return options;
  const { parseTraceFile } = await traceFiles();
  return { ...options, trace: parseTraceFile(trace) };
}

function portOf(monitor: string | true, isPublic: boolean): Port {
  const text = monitor === true ? "0" : monitor;
  if (!/(^|:)\d+$/.test(text)) {
    throw new VireoError(
      `--monitor ${text}: not of the form [HOST:]PORT; ` +
        "for any port write --monitor=0, or --monitor as the last word",
    );
  }
  return parsePlace("--monitor", text, isPublic) as Port;
}

/** All that watches one machine; it ends after the machine. */
export class Monitors implements AsyncDisposable {
  #exporter: Exporter | undefined;
  #page: Page | undefined;
  #shown: ShownMachine | undefined;
  #trace: TraceFile | undefined;

  private constructor() {}

  /**
   * Begins, before there is a machine: what can't be had is known by then.
   *
   * @param say a line for the user
   * @throws {VireoError} something can't be had
   */
  static async start(
    { metrics, monitor, name = NAME, isPublic, trace }: MonitorOptions,
    say: (line: string) => void,
  ): Promise<Monitors> {
    const monitors = new Monitors();
    if (metrics !== undefined) await monitors.#export(metrics, isPublic, say);
    try {
      if (monitor !== undefined) await monitors.#show(monitor, name, say);
      if (trace === undefined) return monitors;
      const { TraceFile } = await traceFiles();
      monitors.#trace = new TraceFile(trace, say);
      return monitors;
    } catch (error) {
      await monitors[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #export(
    metrics: Place,
    isPublic: boolean,
    say: (line: string) => void,
  ): Promise<void> {
    const { Exporter }: typeof import("../monitor/exporter.ts") = await load(
      new URL("../monitor/exporter.ts", import.meta.url),
    );
    this.#exporter = await Exporter.start(metrics, isPublic, say);
    say(`metrics at ${this.#exporter.at}`);
  }

  async #show(
    place: Port,
    name: string,
    say: (line: string) => void,
  ): Promise<void> {
    const { Page }: typeof import("../monitor/page/page.ts") = await load(
      new URL("../monitor/page/page.ts", import.meta.url),
    );
    this.#page = new Page("--monitor", place, say);
    this.#shown = this.#page.add(name);
    say(`live page at ${this.#page.url}`);
  }

  /**
   * Watches `machine` from now on.
   *
   * @param input takes what is typed
   * @throws {VireoError} it has not what is to be watched
   */
  async watch(machine: Machine, input: PageInput): Promise<void> {
    this.#exporter?.machine.resolve(machine);
    this.#shown?.watch(machine, input);
    await this.#trace?.follow(machine);
  }

  /** The guest has said this. */
  heard(bytes: Uint8Array): void {
    this.#shown?.heard(bytes);
  }

  /** Ends, when the machine has. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#page?.[Symbol.asyncDispose]();
    await this.#exporter?.[Symbol.asyncDispose]();
    await this.#trace?.[Symbol.asyncDispose]();
  }
}

function traceFiles(): Promise<typeof import("../monitor/trace/file.ts")> {
  return load(new URL("../monitor/trace/file.ts", import.meta.url));
}
