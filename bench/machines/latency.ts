/**
 * What a disk's reads take in machines whose devices share a thread, and in
 * machines that have one each.
 *
 * @module
 */
import type { Figure } from "../snapshot/figures.ts";
import { parseFigures } from "../paths/measure.ts";
import { Machines } from "./hosts.ts";

/** The third of them is looked at: both machines are at work by then. */
const LOOKED_AT = 3;
const WORK = "bench=" + Array(6).fill("blk-randread").join();

const WAYS = { poll: "polled", irq: "by interrupt" };

/** Figures of one program each, which runs of it are added to. */
export type LatencyRows = Map<string, number[]>;

/** One run of each program: with one machine, or two that are busy. */
export async function latencyRound(
  disk: string,
  milliseconds: number,
  rows: LatencyRows,
): Promise<void> {
  for (const [wait, way] of Object.entries(WAYS)) {
    for (const machines of [1, 2]) {
      for (const shared of [false, true]) {
        const work = `${WORK} ms=${milliseconds} qd=1 wait=${wait}`;
        const words = Array.from({ length: machines }, () => work);
        await using all = await Machines.begin(words, disk, { shared });
        const line = await all.result(0, LOOKED_AT);
        const name = `QD1 ${way}, ${machines === 1 ? "one" : "two busy"}, ` +
          `thread ${shared ? "shared" : "of its own"}`;
        const values = rows.get(name) ?? [];
        rows.set(name, values);
        values.push(parseFigures(line).ns_per_op! / 1000);
      }
    }
  }
}

/** The rows of the table. */
export function latencyFigures(rows: LatencyRows): Figure[] {
  return [...rows].map(([name, values]) => ({ name, unit: "us", values }));
}
