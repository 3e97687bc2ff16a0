/**
 * IOPS and latency over queue depth, measured and plotted.
 *
 * @module
 */
import type { Vmm } from "./guest.ts";
import { measure, type Surroundings } from "./measure.ts";
import { best, spread } from "./pairs.ts";
import { qemuDiskVariants } from "./qemu.ts";
import type { Row } from "./rows.ts";
import { vireo } from "./vireo.ts";

/** The depths on the horizontal axis. */
const DEPTHS: readonly number[] = [1, 2, 4, 8, 16, 32, 64];
const RUNS = 3;

/** Whose lines there are. */
type Named = "Vireo" | "QEMU" | "Firecracker";

/** One line of the plot. */
export interface Series {
  /** Whose it is. */
  name: Named;
  /** The image was opened with O_DIRECT. */
  direct: boolean;
  settings: string;
  /** Thousands of operations per second at {@linkcode DEPTHS}. */
  kiops: number[];
  /** Median latency in microseconds. */
  latency: number[];
}

/** What is plotted. */
export interface Figures {
  /** The queue depths on the horizontal axis. */
  depths: readonly number[];
  /** The lines. */
  series: readonly Series[];
}

/** Firecracker's variants for a row, or why there are none. */
export type Firecracker = (row: Row) => Vmm[] | string;

/** The program that plots, and the configuration that it runs with. */
const PLOT = new URL("plot/main.ts", import.meta.url).pathname;

/** Measures 4 KiB random reads at every depth and writes the plot to `file`. */
export async function sweepDepths(
  surroundings: Surroundings,
  withQemu: boolean,
  firecracker: Firecracker,
  file: string,
  progress: (text: string) => void,
): Promise<Series[]> {
  const all: Series[] = [];
  for (const direct of [false, true]) {
    const row = rowOf(8, direct);
    const found: [Named, Vmm[] | string][] = [
      ["Vireo", [vireo()]],
      ["QEMU", withQemu ? qemuDiskVariants(direct) : "not there"],
      ["Firecracker", firecracker(row)],
    ];
    const run = (vmm: Vmm) => measure(row, vmm, surroundings);
    const vmms: Vmm[] = [];
    const series: Series[] = [];
    for (const [name, variants] of found) {
      if (typeof variants === "string") continue;
      const vmm = await best(row, variants, run);
      vmms.push(vmm);
      const { settings } = vmm;
      series.push({ name, direct, settings, kiops: [], latency: [] });
    }
    for (const depth of DEPTHS) {
      progress(`plot: ${direct ? "O_DIRECT" : "page cache"}, depth ${depth}`);
      await addDepth(rowOf(depth, direct), vmms, series, surroundings);
    }
    all.push(...series);
  }
  await Deno.writeTextFile(file, await plot({ depths: DEPTHS, series: all }));
  return all;
}

/** Makes SVG of figures, in a program of its own: it has packages of its own. */
async function plot(figures: Figures): Promise<string> {
  await using plotter = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--frozen", "--allow-env", PLOT],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const [, svg] = await Promise.all([
    new Blob([JSON.stringify(figures)]).stream().pipeTo(plotter.stdin),
    new Response(plotter.stdout).text(),
  ]);
  return svg;
}

async function addDepth(
  row: Row,
  vmms: readonly Vmm[],
  series: readonly Series[],
  surroundings: Surroundings,
): Promise<void> {
  const kiops: number[][] = vmms.map(() => []);
  const latency: number[][] = vmms.map(() => []);
  for (let run = 0; run < RUNS; run++) {
    for (const [i, vmm] of vmms.entries()) {
      const { value, figures } = await measure(row, vmm, surroundings);
      kiops[i]!.push(value);
      latency[i]!.push(figures.lat_p50_ns! / 1000);
    }
  }
  for (const [i, one] of series.entries()) {
    one.kiops.push(spread(kiops[i]!).median);
    one.latency.push(spread(latency[i]!).median);
  }
}

function rowOf(depth: number, direct: boolean): Row {
  return {
    name: `depth-${depth}`,
    title: `blk 4 KiB random read, QD${depth}`,
    peer: "qemu",
    goal: { of: "ratio", limit: 1, atMost: false },
    measure: {
      kind: "bench",
      bench: "blk-randread",
      words: `qd=${depth}`,
      metric: { key: "ops_per_s", scale: 1000, unit: "k/s" },
      disk: direct ? "direct" : "cached",
    },
  };
}
