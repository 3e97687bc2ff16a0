/**
 * How long it takes to save, fork, put back and restore machines, and what forks
 * take in memory: `deno task bench:snapshot --help`.
 *
 * @module
 */
import { Command, InvalidArgumentError } from "commander";
import { buildElf } from "../../guest/testing/mod.ts";
import { Machine, type Snapshot, type VmConfig } from "../../mod.ts";
import { LinuxGuest } from "../../cli/testing/linux.ts";
import { BareVm } from "./bare_vm.ts";
import { commands } from "./commands.ts";
import { type Figure, table, timed } from "./figures.ts";
import { guestMemory, residentSize } from "../../vmm/testing/own_memory.ts";
import { WorkersInstead } from "../../vmm/testing/workers.ts";

const RAM = 64;
const STAMPED = new URL("stamped_vcpu_worker.ts", import.meta.url);
const PLOT = new URL("../paths/plot/snapshot.ts", import.meta.url).pathname;
/** `in al, 0x60; jmp back`: it exits all the time. */
const BUSY = Uint8Array.of(0xe4, 0x60, 0xeb, 0xfc);
/** Milliseconds between two forks, for the pool to be full again. */
const REFILL = 400;

interface Options {
  runs: number;
  forks: number;
  json?: string;
  svg?: string;
}

function count(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new InvalidArgumentError("not a positive whole number");
}

function progress(text: string): void {
  console.error(`bench:snapshot: ${text}`);
}

function wait(milliseconds: number): Promise<void> {
  return new Promise((done) => setTimeout(done, milliseconds));
}

/** Until the first exit is counted: a little after the first KVM_RUN. */
function untilExit(machine: Machine, exits: number): void {
  const end = performance.now() + 1000;
  while (machine.exits === exits && performance.now() < end);
}

/**
 * Forks from a pool of a guest that exits all the time: to the first KVM_RUN, in
 * the vCPU's thread, and until its first exit is seen here.
 */
async function fromPool(
  runs: number,
  kernel: Uint8Array<ArrayBuffer>,
  devices: Partial<VmConfig>,
): Promise<[begun: number[], exited: number[]]> {
  using _stamped = new WorkersInstead("vcpu_worker.ts", STAMPED);
  await using parent = await Machine.create({
    "boot-source": { kernel_image_path: kernel },
    "machine-config": { mem_size_mib: RAM },
    ...devices,
  });
  parent.start();
  untilExit(parent, 0);
  using snapshot = await parent.snapshot({ base: true });
  await parent.pause();
  await using pool = await snapshot.pool(2);
  const begun: number[] = [], exited: number[] = [];
  for (let run = 0; run < runs; run++) {
    await wait(REFILL);
    const told = Promise.withResolvers<string>();
    const start = performance.now();
    await using child = await pool.fork({ onLog: told.resolve });
    // Not by looking: that keeps the core which the vCPU's thread wakes up on.
    begun.push(Number(await told.promise) - performance.timeOrigin - start);
    untilExit(child, 0);
    exited.push(performance.now() - start);
  }
  return [begun, exited];
}

/** Forks of such a guest. */
async function forks(runs: number): Promise<Figure[]> {
  progress("forks of a small guest");
  const kernel = buildElf({
    segments: [{ address: 0x10_0000n, bytes: BUSY }],
  });
  // With a device, the vCPU begins when that is at work.
  const [pooled, seen] = await fromPool(runs, kernel, {});
  const [complete] = await fromPool(runs, kernel, { entropy: {} });
  await using parent = await Machine.create({
    "boot-source": { kernel_image_path: kernel },
    "machine-config": { mem_size_mib: RAM },
    entropy: {},
  });
  parent.start();
  untilExit(parent, 0);
  using snapshot = await parent.snapshot({ base: true });
  await parent.pause();
  const whole: number[] = [];
  for (let run = 0; run < runs; run++) {
    const start = performance.now();
    await using child = await Machine.restore(snapshot);
    child.start();
    untilExit(child, 0);
    whole.push(performance.now() - start);
  }
  let bare: BareVm | undefined;
  const close = () => bare?.[Symbol.dispose]();
  const alone = await timed(runs, () => bare = new BareVm(snapshot), close);
  close();
  return [
    { name: "fork from the pool, to KVM_RUN", goal: 1, values: pooled },
    { name: "the same, until its first exit is seen", values: seen },
    {
      name: "the same of one with a device",
      values: complete,
    },
    { name: "fork from nothing, VM alone", goal: 2, values: alone },
    { name: "fork from nothing, with isolates", goal: 100, values: whole },
  ].map((figure) => ({ ...figure, unit: "ms" }));
}

/** What is done with a Linux that runs. */
async function ofLinux(
  linux: LinuxGuest,
  folder: string,
  { runs, forks }: Options,
): Promise<Figure[]> {
  const { machine } = linux.test;
  progress("full saves");
  const full = await timed(runs, async () => {
    using snapshot = await machine.snapshot();
    snapshot.save(`${folder}/full`);
  });
  using base = await machine.snapshot({ base: true });
  base.save(`${folder}/base`);
  const echo = () => linux.run("echo hello");
  progress("diffs");
  const diff = await timed(runs, async () => {
    using snapshot = await machine.snapshot();
    snapshot.save(`${folder}/diff`, { since: base });
  }, echo);
  {
    using warm = await machine.snapshot();
    warm.save(`${folder}/warm`);
  }
  progress("live forks");
  const pauses = await timed(runs, async () => {
    using _snapshot = await machine.snapshot({ base: true });
  }, echo);
  progress("resets");
  const resets = await timed(runs, () => machine.reset(base), echo);
  await machine.pause();
  const paused = await timed(runs, () => machine.reset(base));
  await machine.resume();
  using bare = new BareVm(base);
  const alone = await timed(
    runs,
    () => bare.reset(),
    () => bare.dirty(500),
  );
  return [
    { name: `full save of ${RAM} MiB`, goal: 60, values: full },
    { name: "diff after an echo", goal: 5, values: diff },
    { name: "live fork, the parent's pause", goal: 5, values: pauses },
    { name: "reset, memory and KVM's state", goal: 0.8, values: alone },
    { name: "reset of a paused machine, all in all", values: paused },
    { name: "reset of a running machine, all in all", values: resets },
  ].map((figure) => ({ unit: "ms", ...figure }))
    .concat(await memoryOf(base, forks));
}

/** What each of many forks takes. */
async function memoryOf(
  snapshot: Snapshot,
  forks: number,
): Promise<Figure[]> {
  progress(`${forks} forks at once`);
  await using all = new AsyncDisposableStack();
  const before = [guestMemory(RAM), residentSize()] as const;
  for (let fork = 0; fork < forks; fork++) {
    const machine = all.use(await Machine.restore(snapshot));
    machine.start();
  }
  await wait(2000);
  const after = [guestMemory(RAM), residentSize()] as const;
  const each = (index: 0 | 1) => [(after[index] - before[index]) / forks];
  return [
    { name: `${forks} forks: RAM of each`, goal: 3, values: each(0) },
    { name: `${forks} forks: each with its isolates`, values: each(1) },
  ].map((figure) => ({ unit: "MiB", ...figure }));
}

async function plot(figures: Figure[]): Promise<string> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--frozen", "--allow-env", PLOT],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(JSON.stringify(figures)));
  await writer.close();
  const { success, stdout } = await child.output();
  if (!success) throw new Error("the plot failed");
  return new TextDecoder().decode(stdout);
}

if (import.meta.main) {
  const options = new Command("bench:snapshot")
    .description("Measures snapshots, forks and resets.")
    .option("--runs <n>", "of each", count, 20)
    .option("--forks <n>", "at once, for their memory", count, 100)
    .option("--json <file>", "write every figure there")
    .option("--svg <file>", "plot them there")
    .parse(Deno.args, { from: "user" }).opts<Options>();
  const folder = await Deno.makeTempDir({ prefix: "vireo-bench-" });
  try {
    const figures = await forks(options.runs);
    {
      progress("Linux boots");
      await using linux = await LinuxGuest.boot(
        { "machine-config": { mem_size_mib: RAM } },
        "console=ttyS0 clocksource=kvm-clock",
        { cold: true },
      );
      figures.push(...await ofLinux(linux, folder, options));
    }
    progress("commands");
    figures.push(...await commands(folder, options.runs));
    console.log(table(figures));
    const { json, svg } = options;
    if (json) await Deno.writeTextFile(json, JSON.stringify(figures, null, 1));
    if (svg) await Deno.writeTextFile(svg, await plot(figures));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
