/**
 * Opens what the command line names for the log and the metrics: loaded when it
 * names something.
 *
 * @module
 */
import type { Flags } from "./flags.ts";
import type { Log } from "./log.ts";
import { objection } from "./os_error.ts";
import { openOutput } from "./outputs.ts";

/**
 * Sends the log to its file, and opens that of the metrics.
 *
 * @returns writes a line of metrics; undefined: they have no file yet
 * @throws {Error} one can't be had; its text is for the user
 */
export function prepare(
  { logPath, metricsPath }: Flags,
  log: Log,
): ((line: string) => boolean) | undefined {
  try {
    if (logPath !== undefined) logTo(log, logPath);
    return metricsPath === undefined ? undefined : openOutput(metricsPath);
  } catch (error) {
    throw new Error(objection(error));
  }
}

/** Sends the log to a file. */
export function logTo(log: Log, path: string): void {
  const write = openOutput(path);
  log.to((line) => {
    if (!write(line)) log.missed++;
  });
}
