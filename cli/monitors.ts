/**
 * `--metrics`: what watches a machine from its start on.
 *
 * @module
 */
import { parsePlace, type Place } from "../monitor/address.ts";
import type { Exporter } from "../monitor/exporter.ts";
import { VireoError } from "../ffi/error.ts";
import type { Machine } from "../vmm/machine.ts";
import { load } from "./load.ts";

/** The words of the command line. */
export interface MonitorWords {
  /** `[HOST:]PORT` or `unix:PATH`. */
  metrics?: string;
  /** Other hosts may see it. */
  public?: boolean;
}

/** What is to watch. */
export interface MonitorOptions {
  /** Where metrics are to be seen; default: nowhere. */
  metrics?: Place | undefined;
  /** Other hosts may see them. */
  isPublic: boolean;
}

/**
 * Reads the words.
 *
 * @throws {VireoError} what is wrong with one
 */
export function parseMonitors(words: MonitorWords): MonitorOptions {
  const isPublic = words.public === true;
  if (isPublic && words.metrics === undefined) {
    throw new VireoError("--public: of what? It goes with --metrics");
  }
  const metrics = words.metrics === undefined
    ? undefined
    : parsePlace("--metrics", words.metrics, isPublic);
  return { metrics, isPublic };
}

/** All that watches one machine; it ends after the machine. */
export class Monitors implements AsyncDisposable {
  #exporter: Exporter | undefined;

  private constructor() {}

  /**
   * Begins, before there is a machine: what can't be had is known by then.
   *
   * @param say a line for the user
   * @throws {VireoError} something can't be had
   */
  static async start(
    { metrics, isPublic }: MonitorOptions,
    say: (line: string) => void,
  ): Promise<Monitors> {
    const monitors = new Monitors();
    if (metrics === undefined) return monitors;
    const { Exporter }: typeof import("../monitor/exporter.ts") = await load(
      new URL("../monitor/exporter.ts", import.meta.url),
    );
    monitors.#exporter = await Exporter.start(metrics, isPublic, say);
    say(`metrics at ${monitors.#exporter.at}`);
    return monitors;
  }

  /** Watches `machine` from now on. */
  set machine(machine: Machine) {
    this.#exporter?.machine.resolve(machine);
  }

  /** Ends, when the machine has. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#exporter?.[Symbol.asyncDispose]();
  }
}
