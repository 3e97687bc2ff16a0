/**
 * Measures whole I/O paths against C and QEMU: `deno task bench:paths --help`.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { VireoError } from "../../ffi/error.ts";
import { buildCPrograms, type CPrograms, cVmm } from "./c_programs.ts";
import { type Firecracker, sweepDepths } from "./depth.ts";
import { BusyProcesses } from "./busy.ts";
import { makeDisk } from "./disk.ts";
import { firecrackerVariants } from "./firecracker.ts";
import type { Vmm } from "./guest.ts";
import { measure, type Surroundings } from "./measure.ts";
import { Network } from "./network.ts";
import { alternate, best, type Outcome } from "./pairs.ts";
import { QEMU, qemu, qemuDiskVariants, qemuNetworkVariants } from "./qemu.ts";
import { countsTable, othersLine, table } from "./report.ts";
import type { Row } from "./rows.ts";
import { selectRows } from "./select.ts";
import { emptyProgram, type Settings, vireo, vireoCommand } from "./vireo.ts";

interface Options {
  only: string[];
  pairs: number;
  seconds: number;
  peer: string[];
  against?: string;
  firecracker?: string;
  beside: number;
  disk: number;
  json?: string;
  svg?: string;
  counts: boolean;
}

/** Who is there; a text says why somebody is not. */
interface Peers {
  c: CPrograms | string;
  qemu: true | string;
  network: true | string;
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("not a positive number");
  return value;
}

function whole(text: string): number {
  if (!/^\d{1,3}$/.test(text)) {
    throw new InvalidArgumentError("not a number from 0 to 999");
  }
  return Number(text);
}

function checkout(text: string): string {
  const folder = resolve(text);
  if (!existsSync(join(folder, "bench", "paths", "vireo_guest.ts"))) {
    throw new InvalidArgumentError("no checkout of Vireo with bench/paths");
  }
  return folder;
}

function program(text: string): string {
  if (!existsSync(text)) throw new InvalidArgumentError("no such file");
  return resolve(text);
}

function list(text: string, previous: string[]): string[] {
  return [...previous, ...text.split(",").filter(Boolean)];
}

function parse(args: string[]): Options {
  return new Command("bench:paths")
    .description(
      "Measures whole I/O paths of Vireo in alternation with a C program and " +
        "QEMU, all running the same guest.",
    )
    .option("--only <names>", "rows whose names begin so", list, [])
    .option("--pairs <n>", "runs of each side", positive, 5)
    .option("--seconds <s>", "length of a run", positive, 1)
    .option("--peer <name>", "c or qemu; repeatable; default: both", list, [])
    .option(
      "--against <folder>",
      "the peer is Vireo as that checkout has it",
      checkout,
    )
    .option(
      "--firecracker <binary>",
      "also in alternation with this Firecracker, where it can",
      program,
    )
    .option(
      "--beside <n>",
      "beside n busy processes, which are started and ended here",
      whole,
      0,
    )
    .option("--disk <MiB>", "size of the scratch image", positive, 512)
    .option("--json <file>", "write every sample there")
    .option(
      "--counts",
      "what an operation asks of the kernel, by perf, in a run of its own",
      false,
    )
    .option("--svg <file>", "plot IOPS and latency over queue depth there")
    .parse(args, { from: "user" }).opts<Options>();
}

/** Progress is for people; the table goes to standard output. */
function progress(text: string): void {
  console.error(`bench:paths: ${text}`);
}

function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "not installed";
  return error instanceof Error ? error.message.trim() : String(error);
}

async function findPeers(folder: string, wanted: string[]): Promise<Peers> {
  const isWanted = (name: string) =>
    wanted.length === 0 || wanted.includes(name);
  const attempt = async <T>(action: () => Promise<T>): Promise<T | string> => {
    try {
      return await action();
    } catch (error) {
      return reasonOf(error);
    }
  };
  return {
    // The programs are also the senders of frames, so they are always built.
    c: await attempt(() => buildCPrograms(folder)),
    qemu: isWanted("qemu")
      ? await attempt(async (): Promise<true> => {
        await new Deno.Command(QEMU, { args: ["--version"] }).output();
        return true;
      })
      : "not asked for",
    network: await attempt(async (): Promise<true> => {
      await using _network = await Network.create();
      return true;
    }),
  };
}

/** The peer's candidates for this row, or why there are none. */
function candidates(
  row: Row,
  peers: Peers,
  options: Options,
  folder: string,
): Vmm[] | string {
  const { against, peer: wanted } = options;
  const { measure } = row;
  if (against !== undefined) return [vireoFor(row, folder, against)];
  if (row.peer === "empty") {
    return measure.kind === "start" ? [emptyProgram(measure)] : "not a start";
  }
  if (row.peer === "c") {
    if (wanted.length > 0 && !wanted.includes("c")) return "not asked for";
    if (typeof peers.c === "string") return peers.c;
    const polling = measure.kind === "bench" && measure.polling;
    return [cVmm(peers.c.vmm, polling === true)];
  }
  if (row.peer === "vireo") return [vireo(pollingOf(row))];
  if (peers.qemu !== true) return peers.qemu;
  if (measure.kind !== "bench") return [qemu()];
  const { network, words } = measure;
  if (network) return qemuNetworkVariants(words.includes("offload"));
  return qemuDiskVariants(measure.disk === "direct");
}

/** Why the row can't be run at all, or undefined. */
function obstacle({ measure }: Row, peers: Peers): string | undefined {
  const network = measure.kind === "memory" ||
    measure.kind === "bench" && measure.network !== undefined;
  if (network && peers.network !== true) return peers.network;
  const frames = measure.kind === "bench" && measure.network?.frames;
  if (frames && typeof peers.c === "string") return peers.c;
}

function vireoFor(row: Row, folder: string, checkout?: string): Vmm {
  const { measure, settings } = row;
  return measure.kind === "start" && measure.program !== "library"
    ? vireoCommand(measure.program, folder, checkout)
    : vireo({ ...pollingOf(row), ...settings }, checkout);
}

/** No row may be worse than another checkout's by more than this. */
const TOLERANCE = 0.03;

function against({ goal: { atMost }, ...row }: Row): Row {
  const limit = atMost ? 1 + TOLERANCE : 1 - TOLERANCE;
  return { ...row, goal: { of: "ratio", limit, atMost } };
}

/** Beside busy processes, this part of QEMU's speed is to be reached. */
const CROWDED = 0.8;

function crowded(row: Row): Row {
  const { peer, measure, goal: { atMost } } = row;
  if (peer !== "qemu" || measure.kind !== "bench") return row;
  const limit = atMost ? 1 / CROWDED : CROWDED;
  return { ...row, goal: { of: "ratio", limit, atMost } };
}

/** The rows with the goals of this run. */
function rowsFor({ only, against: checkout, beside }: Options): Row[] {
  const rows = selectRows(only);
  if (checkout !== undefined) return rows.map(against);
  return beside > 0 ? rows.map(crowded) : rows;
}

function pollingOf({ measure }: Row): Settings {
  const sleeps = measure.kind === "bench" && measure.polling === false;
  return sleeps ? { poll_us: 0 } : {};
}

async function runRow(
  row: Row,
  peers: Peers,
  options: Options,
  surroundings: Surroundings,
  firecracker: Firecracker,
  folder: string,
): Promise<Outcome> {
  const run = (vmm: Vmm) => measure(row, vmm, surroundings);
  const own = vireoFor(row, folder);
  const found = candidates(row, peers, options, folder);
  const missing = typeof found === "string" ? found : undefined;
  const peer = typeof found === "string"
    ? undefined
    : await best(row, found, run);
  const others = row.peer === "qemu" ? firecracker(row) : "no row for it";
  const also = typeof others === "string"
    ? undefined
    : await best(row, others, run);
  if (row.measure.kind === "start") {
    // What Deno has compiled is kept from then on.
    for (const vmm of [own, peer]) if (vmm) await run(vmm);
  }
  const outcome = await alternate(row, own, peer, also, options.pairs, run);
  const counts = options.counts && row.measure.kind === "bench"
    ? await countEach(row, [own, peer, also], surroundings)
    : undefined;
  return { ...outcome, missing, ...(counts && { counts }) };
}

/** One run of each side, which is counted. */
async function countEach(
  row: Row,
  sides: readonly (Vmm | undefined)[],
  surroundings: Surroundings,
): Promise<Outcome["counts"]> {
  const all: NonNullable<Outcome["counts"]> = [];
  for (const vmm of sides) {
    if (vmm === undefined) continue;
    const sample = await measure(row, vmm, { ...surroundings, counted: true });
    all.push({ vmm: vmm.name, counts: sample.counts! });
  }
  return all;
}

async function main(options: Options): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const folder = await Deno.makeTempDir({ prefix: "vireo-bench-" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const rows = rowsFor(options);
  progress(`preparing a disk of ${options.disk} MiB, and the peers`);
  const disk = await makeDisk(folder, options.disk);
  const wanted = options.against ? ["vireo"] : options.peer;
  const peers = await findPeers(folder, wanted);
  const frames = typeof peers.c === "string" ? undefined : peers.c.frames;
  const surroundings = { disk, frames, seconds: options.seconds };
  const firecracker: Firecracker = (row) =>
    options.firecracker === undefined
      ? "not asked for"
      : firecrackerVariants(row, options.firecracker, folder);
  const outcomes: Outcome[] = [];
  stack.use(new BusyProcesses(options.beside));
  for (const [index, row] of rows.entries()) {
    progress(`row ${index + 1} of ${rows.length}: ${row.name}`);
    const reason = obstacle(row, peers);
    if (reason !== undefined) {
      console.log(`${row.title}: not available: ${reason}`);
      continue;
    }
    outcomes.push(
      await runRow(row, peers, options, surroundings, firecracker, folder),
    );
  }
  if (outcomes.length > 0) {
    console.log(table(outcomes), othersLine(outcomes, options.beside));
  }
  if (options.counts) console.log(`\n${countsTable(outcomes)}`);
  const sweep = options.svg
    ? await sweepDepths(
      surroundings,
      peers.qemu === true,
      firecracker,
      options.svg,
      progress,
    )
    : undefined;
  if (options.json) {
    const host = {
      kernel: Deno.osRelease(),
      cpus: navigator.hardwareConcurrency,
    };
    const text = JSON.stringify({ host, options, outcomes, sweep }, null, 1);
    await Deno.writeTextFile(options.json, text + "\n");
  }
}

if (import.meta.main) {
  try {
    await main(parse(Deno.args));
  } catch (error) {
    if (!(error instanceof VireoError)) throw error;
    console.error(`bench:paths: ${error.message}`);
    Deno.exit(1);
  }
}
