/**
 * What programs in a Linux guest see of Vireo's I/O: dd, ping and TCP, under
 * Vireo over MMIO and PCI, QEMU's microvm, and Vireo of another checkout, with
 * one kernel and one command line, in alternation. It takes root:
 * `deno task bench:guest --help`.
 *
 * @module
 */
import { Command, InvalidArgumentError } from "commander";
import { VireoError } from "../../ffi/error.ts";
import { isOnPath } from "../../ffi/testing/needs.ts";
import { prepare, prepared } from "../../mod.ts";
import { makeDisk } from "../paths/disk.ts";
import { Network } from "../paths/network.ts";
import { spread } from "../paths/pairs.ts";
import { VmmProcess } from "../paths/process.ts";
import { QEMU } from "../paths/qemu.ts";
import { markdown, show } from "../paths/report.ts";
import { DONE, PROGRAMS, read, script } from "./programs.ts";
import { type Guest, qemu, vireo, type Vmm } from "./vmms.ts";

interface Options {
  pairs: number;
  against?: string;
}

/** One value for each program, by its name. */
type Figures = Map<string, number>;
/** A VMM, and what was measured of it. */
type Side = { vmm: Vmm; all: Figures[] };

const MEMORY_MIB = 64;
const DISK_MIB = 64;
/** Longer than any guest takes that goes on at all. */
const LIMIT_MS = 300_000;
const SINK = new URL("./sink.ts", import.meta.url).pathname;

function progress(text: string): void {
  console.error(`bench:guest: ${text}`);
}

/** Boots a guest, has it run the programs, and reads what they print. */
async function measure(vmm: Vmm, guest: Guest): Promise<Figures> {
  await using process = new VmmProcess(await vmm.command(guest));
  await process.line(DONE, LIMIT_MS); // then it would halt
  return read(process.seen.join("\n"), vmm.name);
}

function cell(values: readonly number[]): string {
  return show(spread(values));
}

/** What is compared: a heading, and two sides. */
function comparisons(
  sides: readonly Side[],
): [string, Side, Side][] {
  const named = (name: string) => sides.find(({ vmm }) => vmm.name === name);
  const wanted = [
    ["mmio / QEMU", "Vireo, mmio", "QEMU, mmio"],
    ["mmio / before", "Vireo, mmio", "Vireo, mmio, before"],
    ["pci / before", "Vireo, pci", "Vireo, pci, before"],
  ] as const;
  return wanted.flatMap(([title, one, other]) => {
    const [a, b] = [named(one), named(other)];
    return a && b ? [[title, a, b]] : [];
  });
}

function table(sides: readonly Side[]): string {
  const compared = comparisons(sides);
  const headings = [
    ...["in the guest", "unit"],
    ...sides.map(({ vmm }) => vmm.name),
    ...compared.map(([title]) => title),
  ];
  const rows = PROGRAMS.map(({ name, unit }) => {
    const of = ({ all }: Side) => all.map((figures) => figures.get(name)!);
    const ratios = compared.map(([, one, other]) => {
      const others = of(other);
      return cell(of(one).map((value, pair) => value / others[pair]!));
    });
    return [name, unit, ...sides.map((side) => cell(of(side))), ...ratios];
  });
  return markdown(headings, rows);
}

async function main({ pairs, against }: Options): Promise<void> {
  const vmms = [vireo("mmio"), vireo("pci")];
  if (isOnPath(QEMU)) vmms.push(qemu());
  else progress(`${QEMU} is missing; its column is left out`);
  if (against !== undefined) {
    vmms.push(vireo("mmio", against), vireo("pci", against));
  }
  await using stack = new AsyncDisposableStack();
  const network = stack.use(await Network.create());
  const { kernel, rootfs } = await prepared("full") ??
    await prepare({ variant: "full" });
  const folder = Deno.makeTempDirSync({ prefix: "vireo-bench-" });
  stack.defer(() => Deno.removeSync(folder, { recursive: true }));
  const disk = await makeDisk(folder, DISK_MIB);
  const sink = network.spawn(Deno.execPath(), "run", "--allow-net", SINK);
  stack.defer(async () => {
    sink.kill("SIGTERM");
    await sink.status;
  });
  const guest = {
    ...{ kernel, rootfs, disk, folder, memory: MEMORY_MIB },
    ...{ netns: network.netns, commands: script() },
  };
  const sides = vmms.map((vmm): Side => ({ vmm, all: [] }));
  for (let pair = 1; pair <= pairs; pair++) {
    for (const { vmm, all } of pair % 2 ? sides : sides.toReversed()) {
      progress(`pair ${pair} of ${pairs}: ${vmm.name}`);
      all.push(await measure(vmm, guest));
    }
  }
  console.log(table(sides));
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new InvalidArgumentError("not a whole number from 1 on");
}

if (import.meta.main) {
  const options = new Command("bench:guest")
    .description("Measures dd, ping and TCP in a Linux guest. It takes root.")
    .option("--pairs <n>", "runs of each VMM, in turn", wholeNumber, 5)
    .option("--against <folder>", "Vireo of another checkout, too")
    .parse(Deno.args, { from: "user" }).opts<Options>();
  try {
    await main(options);
  } catch (error) {
    if (!(error instanceof VireoError)) throw error;
    console.error(`bench:guest: ${error.message}`);
    Deno.exitCode = 1;
  }
}
