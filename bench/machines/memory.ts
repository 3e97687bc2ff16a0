/**
 * What machines of one process take in memory, beyond empty programs with as
 * many workers.
 *
 * @module
 */
import type { Memory } from "../paths/process.ts";
import type { Figure } from "../snapshot/figures.ts";
import { emptyMemory, Machines } from "./hosts.ts";
import type { Program } from "./program.ts";

/** Pings and reads in turn, for longer than they are looked at. */
const WORK = "bench=" + "net-rr,blk-randread,".repeat(30) + "pio-read ms=1000";
const KINDS = { alone: "RSS", pss: "PSS", own: "no file's" } as const;

/** Of one run: a program of each kind, one after the other. */
export interface MemoryRound {
  empty: Memory;
  emptyMany: Memory;
  keeping: Memory;
  one: Memory;
  many: Memory;
  oneShared: Memory;
  manyShared: Memory;
}

/** Looks at one program after the other. */
export async function memoryRound(
  disk: string,
  machines: number,
): Promise<MemoryRound> {
  const words = (count: number) => Array.from({ length: count }, () => WORK);
  const of = async (count: number, rest: Partial<Program> = {}) => {
    await using all = await Machines.begin(words(count), disk, rest);
    return await all.memory();
  };
  return {
    empty: await emptyMemory(2),
    keeping: await of(1, { keepProgram: true }),
    one: await of(1),
    emptyMany: await emptyMemory(2 * machines),
    many: await of(machines),
    oneShared: await of(1, { shared: true }),
    manyShared: await of(machines, { shared: true }),
  };
}

/** The rows of the table. */
export function memoryFigures(
  rounds: readonly MemoryRound[],
  machines: number,
): Figure[] {
  return Object.entries(KINDS).flatMap(([key, kind]) => {
    const rss = key === "alone";
    const of = (
      name: string,
      value: (round: MemoryRound) => number,
      goal?: number,
    ) => ({
      name: `${kind}: ${name}`,
      unit: "MiB",
      ...(rss && goal !== undefined && { goal }),
      values: rounds.map(value),
    });
    const get = (memory: Memory) => memory[key as keyof Memory];
    const each = (one: Memory, many: Memory) =>
      (get(many) - get(one)) / (machines - 1);
    return [
      of("an empty program, 2 workers", ({ empty }) => get(empty)),
      of("one machine with keepProgram", ({ keeping }) => get(keeping)),
      of("one machine", ({ one }) => get(one)),
      of(
        "beyond the empty program",
        ({ one, empty }) => get(one) - get(empty),
        12,
      ),
      of(
        "2 more empty workers",
        ({ empty, emptyMany }) => each(empty, emptyMany),
      ),
      of("each further machine", ({ one, many }) => each(one, many), 20),
      of(
        "each further machine, devices' thread shared",
        ({ oneShared, manyShared }) => each(oneShared, manyShared),
        11,
      ),
    ];
  });
}
