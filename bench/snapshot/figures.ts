/**
 * Figures of many runs, and the table of them.
 *
 * @module
 */
import { spread } from "../paths/pairs.ts";

/** What was measured of one thing. */
export interface Figure {
  /** What. */
  name: string;
  /** `ms`, `MiB`. */
  unit: string;
  /** What it is to be at most. */
  goal?: number;
  /** One for each run. */
  values: number[];
}

/** A line for each figure: median, least, most, number of runs, goal. */
export function table(figures: readonly Figure[]): string {
  const head = ["", "", "median", "min", "max", "runs", "goal"];
  const rows = figures.map(({ name, unit, goal, values }) => {
    const { median, min, max } = spread(values);
    return [
      name,
      unit,
      ...[median, min, max].map((value) => value.toFixed(2)),
      `${values.length}`,
      goal === undefined ? "" : `${goal}`,
    ];
  });
  const all = [head, ...rows];
  const widths = head.map((_, i) =>
    Math.max(...all.map((row) => row[i]!.length))
  );
  return all.map((row) =>
    row.map((cell, i) =>
      i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)
    ).join("  ").trimEnd()
  ).join("\n");
}

/** Milliseconds that each of `runs` calls takes. */
export async function timed(
  runs: number,
  action: () => unknown,
  before: () => unknown = () => {},
): Promise<number[]> {
  const values: number[] = [];
  for (let run = 0; run < runs; run++) {
    await before();
    const start = performance.now();
    await action();
    values.push(performance.now() - start);
  }
  return values;
}
