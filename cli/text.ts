/**
 * Tables, durations and sizes, as people read them.
 *
 * @module
 */
import { KiB, MiB } from "../guest/layout.ts";

/** Rows as lines, in columns that are two blanks apart. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0))
  );
  return rows.map((row) =>
    row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ")
      .trimEnd()
  ).join("\n");
}

/** Lines of text without anything that a terminal acts on. */
export function plain(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replaceAll(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/g, "?");
}

/** Such as `12s`, `3m07s`, `5h02m` and `3d04h`. */
export function durationText(seconds: number): string {
  const two = (value: number) => `${Math.floor(value)}`.padStart(2, "0");
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole}s`;
  const minutes = whole / 60, hours = minutes / 60;
  if (hours < 1) return `${Math.floor(minutes)}m${two(whole % 60)}s`;
  if (hours < 24) return `${Math.floor(hours)}h${two(minutes % 60)}m`;
  return `${Math.floor(hours / 24)}d${two(hours % 24)}h`;
}

/** Such as `64.0 MiB`, or `12 KiB` of less than one. */
export function sizeText(bytes: number): string {
  if (bytes < MiB) return `${Math.ceil(bytes / KiB)} KiB`;
  return `${(bytes / MiB).toFixed(1)} MiB`;
}
