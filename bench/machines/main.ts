/**
 * What machines of one process take in memory, beyond empty programs with as
 * many workers: `deno task bench:machines --help`.
 *
 * @module
 */
import { Command, InvalidArgumentError } from "commander";
import { makeDisk } from "../paths/disk.ts";
import type { Memory } from "../paths/process.ts";
import { type Figure, table } from "../snapshot/figures.ts";
import { emptyMemory, Machines } from "./hosts.ts";
import type { Program } from "./program.ts";

interface Options {
  runs: number;
  machines: number;
}

const DISK = 64;
/** Pings and reads in turn, for longer than they are looked at. */
const WORK = "bench=" + "net-rr,blk-randread,".repeat(30) + "pio-read ms=1000";
const KINDS = { alone: "RSS", pss: "PSS", own: "no file's" } as const;

function count(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new InvalidArgumentError("not a positive whole number");
}

/** Of one run: a program of each kind, one after the other. */
interface Round {
  empty: Memory;
  emptyMany: Memory;
  keeping: Memory;
  one: Memory;
  many: Memory;
}

async function round(disk: string, machines: number): Promise<Round> {
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
  };
}

function figures(rounds: readonly Round[], machines: number): Figure[] {
  return Object.entries(KINDS).flatMap(([key, kind]) => {
    const rss = key === "alone";
    const of = (
      name: string,
      value: (round: Round) => number,
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
    ];
  });
}

if (import.meta.main) {
  const { runs, machines } = new Command("bench:machines")
    .description("Measures what machines of one process take in memory.")
    .option("--runs <n>", "of each program", count, 5)
    .option("--machines <n>", "in one process, at least 2", count, 4)
    .parse(Deno.args, { from: "user" }).opts<Options>();
  const folder = await Deno.makeTempDir({ prefix: "vireo-bench-" });
  try {
    const disk = await makeDisk(folder, DISK);
    const rounds: Round[] = [];
    for (let run = 0; run < runs; run++) {
      console.error(`bench:machines: run ${run + 1} of ${runs}`);
      rounds.push(await round(disk, machines));
    }
    console.log(table(figures(rounds, machines)));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
