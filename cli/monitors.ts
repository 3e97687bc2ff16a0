/**
 * `--metrics` and `--trace`: what watches a machine from its start on.
 *
 * @module
 */
import { parsePlace, type Place } from "../monitor/address.ts";
import type { Exporter } from "../monitor/exporter.ts";
import type { TraceFile, TraceFileOptions } from "../monitor/trace/file.ts";
import { VireoError } from "../ffi/error.ts";
import type { Machine } from "../vmm/machine.ts";
import { load } from "./load.ts";

/** The words of the command line. */
export interface MonitorWords {
  /** `[HOST:]PORT` or `unix:PATH`. */
  metrics?: string;
  /** Other hosts may see it. */
  public?: boolean;
  /** `FILE[,WORD...]`. */
  trace?: string;
}

/** What is to watch. */
export interface MonitorOptions {
  /** Where metrics are to be seen; default: nowhere. */
  metrics?: Place | undefined;
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
  const isPublic = words.public === true;
  if (isPublic && words.metrics === undefined) {
    throw new VireoError("--public: of what? It goes with --metrics");
  }
  const metrics = words.metrics === undefined
    ? undefined
    : parsePlace("--metrics", words.metrics, isPublic);
  if (words.trace === undefined) return { metrics, isPublic };
  const { parseTraceFile } = await traceFiles();
  return { metrics, isPublic, trace: parseTraceFile(words.trace) };
}

/** All that watches one machine; it ends after the machine. */
export class Monitors implements AsyncDisposable {
  #exporter: Exporter | undefined;
  #trace: TraceFile | undefined;

  private constructor() {}

  /**
   * Begins, before there is a machine: what can't be had is known by then.
   *
   * @param say a line for the user
   * @throws {VireoError} something can't be had
   */
  static async start(
    { metrics, isPublic, trace }: MonitorOptions,
    say: (line: string) => void,
  ): Promise<Monitors> {
    const monitors = new Monitors();
    if (metrics !== undefined) await monitors.#export(metrics, isPublic, say);
    if (trace === undefined) return monitors;
    try {
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

  /**
   * Watches `machine` from now on.
   *
   * @throws {VireoError} it has not what is to be watched
   */
  async watch(machine: Machine): Promise<void> {
    this.#exporter?.machine.resolve(machine);
    await this.#trace?.follow(machine);
  }

  /** Ends, when the machine has. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#exporter?.[Symbol.asyncDispose]();
    await this.#trace?.[Symbol.asyncDispose]();
  }
}

function traceFiles(): Promise<typeof import("../monitor/trace/file.ts")> {
  return load(new URL("../monitor/trace/file.ts", import.meta.url));
}
