/**
 * What programs in a Linux guest see of Vireo's I/O: dd, ping and TCP, under
 * Vireo over MMIO and PCI, QEMU's microvm, and Vireo of another checkout, with
 * one kernel and one command line, in alternation. It takes root.
 *
 *     deno run -A bench/guest/main.ts [--pairs N] [--against FOLDER]
 *
 * @module
 */
import { parseArgs } from "node:util";
import { MiB } from "../../guest/layout.ts";
import { prepare, prepared } from "../../mod.ts";
import { Network } from "../paths/network.ts";
import { spread } from "../paths/pairs.ts";
import { PROGRAMS, read, script } from "./programs.ts";
import { type Guest, qemu, vireo, type Vmm } from "./vmms.ts";

const MEMORY_MIB = 64;
const DISK_SIZE = 64 * MiB;
const SINK = new URL("./sink.ts", import.meta.url).pathname;

/** One value for each program, by its name. */
type Figures = Map<string, number>;

/** Boots a guest, has it run the programs, and reads what they print. */
async function measure(vmm: Vmm, guest: Guest): Promise<Figures> {
  const [name, ...args] = await vmm.command(guest);
  const child = new Deno.Command(name!, {
    ...{ args, cwd: guest.folder, stdin: "null", stdout: "piped" },
    stderr: "null",
  }).spawn();
  let text = "";
  for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
    text += part;
    if (text.includes("all-done-2")) child.kill("SIGTERM"); // it would halt
  }
  await child.status;
  return read(text, vmm.name);
}

function cell(values: readonly number[]): string {
  const { median, min, max } = spread(values);
  const [middle, least, most] = [median, min, max]
    .map((value) => Number(value.toPrecision(3)));
  return `${middle} (${least}..${most})`;
}

const { values: { pairs = "5", against } } = parseArgs({
  options: { pairs: { type: "string" }, against: { type: "string" } },
});
await using stack = new AsyncDisposableStack();
const { kernel, rootfs } = await prepared("full") ??
  await prepare({ variant: "full" });
const folder = Deno.makeTempDirSync({ prefix: "vireo-bench-" });
stack.defer(() => Deno.removeSync(folder, { recursive: true }));
const disk = `${folder}/disk`;
const mebibyte = new Uint8Array(MiB).fill(1);
for (let i = 0; i < DISK_SIZE / MiB; i++) {
  Deno.writeFileSync(disk, mebibyte, { append: true });
}
const network = stack.use(await Network.create());
const sink = network.spawn(Deno.execPath(), "run", "--allow-net", SINK);
stack.defer(async () => {
  sink.kill("SIGTERM");
  await sink.status;
});
const guest = {
  ...{ kernel, rootfs, disk, folder, memory: MEMORY_MIB },
  ...{ netns: network.netns, commands: script() },
};

const vmms: Vmm[] = [vireo("mmio"), vireo("pci"), qemu()];
if (against !== undefined) {
  vmms.push(vireo("mmio", against), vireo("pci", against));
}
const all = vmms.map((): Figures[] => []);
for (let pair = 1; pair <= Number(pairs); pair++) {
  const order = [...vmms.entries()];
  for (const [index, vmm] of pair % 2 ? order : order.reverse()) {
    console.error(`pair ${pair} of ${pairs}: ${vmm.name}`);
    all[index]!.push(await measure(vmm, guest));
  }
}

const of = (index: number, program: string) =>
  all[index]!.map((figures) => figures.get(program)!);
const ratios = (one: number, other: number, program: string) => {
  const others = of(other, program);
  return cell(of(one, program).map((value, pair) => value / others[pair]!));
};
const compared: [string, number, number][] = [["mmio / QEMU", 0, 2]];
if (against) compared.push(["mmio / before", 0, 3], ["pci / before", 1, 4]);
const rows = PROGRAMS.map(({ name, unit }) => [
  ...[name, unit],
  ...vmms.map((_, index) => cell(of(index, name))),
  ...compared.map(([, one, other]) => ratios(one, other, name)),
]);
const head = [
  ...["in the guest", "unit"],
  ...vmms.map(({ name }) => name),
  ...compared.map(([title]) => title),
];
for (const row of [head, head.map(() => "---"), ...rows]) {
  console.log(`| ${row.join(" | ")} |`);
}
