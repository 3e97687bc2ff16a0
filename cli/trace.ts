/**
 * `vireo trace summary FILE`: what a trace says on the whole.
 *
 * @module
 */
import { VireoError } from "../ffi/error.ts";
import { type Durations, summarise } from "../monitor/trace/summary.ts";
import { didYouMean } from "../vmm/devices/words.ts";
import { plain, sizeText, table } from "./text.ts";

/** Lines of a table; more of them are of little use. */
const ROWS = 20;

/**
 * What to print.
 *
 * @param action what to do with it: `summary`
 * @throws {VireoError} there is no such action, or the file is no trace
 */
export async function traceCommand(
  action: string,
  path: string,
  { json }: { json?: boolean },
): Promise<string> {
  if (action !== "summary") {
    throw new VireoError(
      `trace ${action}: no such action${didYouMean(action, ["summary"])}`,
    );
  }
  const summary = await summarise(path);
  if (json) return JSON.stringify(summary, null, 2);
  const { exits, requests, others, lost, seconds } = summary;
  const time = exits.reduce((sum, { total }) => sum + total, 0);
  const parts = [
    `${seconds.toFixed(3)} s; exits were answered for ` +
    `${(time / 1e6).toFixed(3)} s${lost > 0 ? `; ${lost} events lost` : ""}`,
  ];
  if (exits.length > 0) {
    const head = ["EXIT", "COUNT", "TOTAL ms", "MEAN", "P50", "P99", "MAX us"];
    parts.push(table([head, ...exits.slice(0, ROWS).map(exitRow)]));
    const rest = exits.length - ROWS;
    if (rest > 0) parts.push(`and ${rest} more`);
  }
  if (requests.length > 0) {
    const head = ["REQUEST", "COUNT", "BYTES", "P50", "P90", "P99", "MAX us"];
    parts.push(table([head, ...requests.map(requestRow)]));
  }
  const rows = Object.entries(others).sort(([, a], [, b]) => b - a)
    .map(([name, count]) => [name, `${count}`]);
  if (rows.length > 0) parts.push(table([["EVENT", "COUNT"], ...rows]));
  return plain(parts.join("\n\n"));
}

function exitRow({ name, count, total, percentiles }: Durations): string[] {
  const [p50, , p99, max] = percentiles.map(microseconds);
  const mean = microseconds(total / count);
  return [name, `${count}`, (total / 1000).toFixed(3), mean, p50!, p99!, max!];
}

function requestRow({ name, count, bytes, percentiles }: Durations): string[] {
  const times = percentiles.map(microseconds);
  return [name, `${count}`, sizeText(bytes), ...times];
}

function microseconds(value: number): string {
  return value < 100 ? value.toFixed(1) : value.toFixed(0);
}
