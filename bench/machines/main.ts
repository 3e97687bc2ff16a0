/**
 * What machines of one process take in memory, and what it costs when their
 * devices share a thread: `deno task bench:machines --help`.
 *
 * @module
 */
import { Command, InvalidArgumentError, Option } from "commander";
import { makeDisk } from "../paths/disk.ts";
import { table } from "../snapshot/figures.ts";
import { latencyFigures, latencyRound, type LatencyRows } from "./latency.ts";
import { memoryFigures, type MemoryRound, memoryRound } from "./memory.ts";

interface Options {
  runs: number;
  machines: number;
  ms: number;
  only?: "memory" | "latency";
}

const DISK = 64;

function atLeast(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= least) return value;
    throw new InvalidArgumentError(`not a whole number from ${least} on`);
  };
}

function progress(text: string): void {
  console.error(`bench:machines: ${text}`);
}

if (import.meta.main) {
  const { runs, machines, ms, only } = new Command("bench:machines")
    .description("Measures machines of one process: memory, shared threads.")
    .option("--runs <n>", "of each program, in turn", atLeast(1), 5)
    .option("--machines <n>", "in one process, for memory", atLeast(2), 4)
    .option("--ms <n>", "length of a benchmark", atLeast(1), 1000)
    .addOption(
      new Option("--only <what>", "one of both").choices(["memory", "latency"]),
    )
    .parse(Deno.args, { from: "user" }).opts<Options>();
  const folder = await Deno.makeTempDir({ prefix: "vireo-bench-" });
  try {
    const disk = await makeDisk(folder, DISK);
    const rounds: MemoryRound[] = [];
    const rows: LatencyRows = new Map();
    for (let run = 0; run < runs; run++) {
      progress(`run ${run + 1} of ${runs}`);
      if (only !== "latency") rounds.push(await memoryRound(disk, machines));
      if (only !== "memory") await latencyRound(disk, ms, rows);
    }
    const figures = rounds.length > 0 ? memoryFigures(rounds, machines) : [];
    console.log(table([...figures, ...latencyFigures(rows)]));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
