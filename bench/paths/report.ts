/**
 * The table.
 *
 * @module
 */
import { COUNTED } from "./counts.ts";
import { unitOf } from "./measure.ts";
import type { Goal } from "./rows.ts";
import {
  type Outcome,
  reached,
  type Side,
  type Spread,
  spread,
} from "./pairs.ts";

const HEADINGS = [
  "path",
  "unit",
  "Vireo",
  "peer",
  "ratio",
  "goal",
  "",
  "CPU us/op",
  "settings",
];

/** The outcomes as a Markdown table: medians with minimum and maximum. */
export function table(outcomes: readonly Outcome[]): string {
  const withAlso = outcomes.some(({ also }) => also !== undefined);
  const headings = HEADINGS.flatMap((heading) =>
    withAlso && heading === "goal" ? ["also", "ratio", heading] : heading
  );
  return markdown(
    headings,
    outcomes.map((outcome) => cells(outcome, withAlso)),
  );
}

/** What an operation of each side asks of the kernel, Vireo's first. */
export function countsTable(outcomes: readonly Outcome[]): string {
  return markdown(
    ["per operation", ...COUNTED],
    outcomes.flatMap(({ row, counts = [] }) =>
      counts.map(({ vmm, counts }) => [
        `${row.title}, ${vmm}`,
        ...COUNTED.map((name) => number(counts[name])),
      ])
    ),
  );
}

/** A table in Markdown, its columns as wide as they have to be. */
export function markdown(headings: string[], lines: string[][]): string {
  const rows = [headings, headings.map(() => "---"), ...lines];
  const widths = headings.map((_, column) =>
    Math.max(...rows.map((row) => row[column]!.length))
  );
  return rows.map((row) =>
    `| ${row.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`
      .replace(/-{3} +(?=\|)/g, (dashes) => "-".repeat(dashes.length - 1) + " ")
  ).join("\n");
}

/**
 * How crowded the host was, `beside` busy processes being of this program: a
 * table from a busy host says little.
 */
export function othersLine(
  outcomes: readonly Outcome[],
  beside: number,
): string {
  const others = outcomes
    .flatMap(({ vireo, peer, also }) => [vireo, peer, also?.side])
    .flatMap((side) => side?.samples ?? [])
    .flatMap((sample) => sample.others ?? []);
  if (others.length === 0) return "";
  return `\n\nOther processes used ${show(spread(others))} of ` +
    `${navigator.hardwareConcurrency} cores during the runs` +
    (beside > 0 ? `, ${beside} of them busy loops of this one.` : ".");
}

function cells(outcome: Outcome, withAlso: boolean): string[] {
  const { row, vireo, peer, compared, missing, also } = outcome;
  return [
    row.title,
    unitOf(row),
    show(vireo.value),
    peer ? named(peer) : `not available: ${missing}`,
    compared ? show(compared, row.goal.of === "difference" ? "+" : "") : "",
    ...(withAlso ? also ? [named(also.side), show(also.ratio)] : ["", ""] : []),
    goalText(row.goal, also !== undefined),
    compared ? (reached(outcome) ? "ok" : "missed") : "",
    cpu([vireo, peer, also?.side]),
    [vireo, peer, also?.side].flatMap((side) =>
      side ? `${side.vmm}: ${side.settings}` : []
    ).join("; "),
  ];
}

/** A bound on the ratio, or on what is beyond; and that for Firecracker. */
function goalText(goal: Goal, withAlso: boolean): string {
  const { of, limit, atMost, firecracker } = goal;
  const sign = atMost ? "<=" : ">=";
  if (of === "difference") return `${sign} +${limit}`;
  const all = withAlso && firecracker ? [limit, firecracker] : [limit];
  return `${sign} ${all.map((value) => value.toFixed(2)).join(", ")}`;
}

function named({ vmm, value }: Side): string {
  return `${vmm} ${show(value)}`;
}

function cpu(sides: readonly (Side | undefined)[]): string {
  return sides.flatMap((side) => side?.cpu ? number(side.cpu.median) : [])
    .join(" : ");
}

/** A median, its minimum and its maximum. */
export function show({ median, min, max }: Spread, sign = ""): string {
  return `${sign}${number(median)} (${number(min)}..${number(max)})`;
}

/** Three significant digits, and no fewer than all before the point. */
function number(value: number): string {
  const digits = Math.floor(Math.log10(Math.abs(value) || 1));
  return value.toFixed(Math.min(3, Math.max(0, 2 - digits)));
}
