/**
 * Fuzzes the virtio devices: `deno task fuzz --help`.
 *
 * @module
 */
import { Command } from "commander";
import { fileURLToPath } from "node:url";
import { VireoError } from "../../ffi/error.ts";
import { showProgress, wholeNumber } from "../campaign.ts";
import { saveInput } from "./corpus.ts";
import type { TransportName } from "./input.ts";
import { SUBJECTS } from "./subjects.ts";

const CHILD = fileURLToPath(new URL("child.ts", import.meta.url));
const FOLDER = fileURLToPath(new URL("../../devices/virtio/", import.meta.url));
/** An input takes milliseconds; longer than this, it hangs. */
const HANG_MS = 10_000;
const FAILURES_MAX = 10;

interface Options {
  target: string[];
  transport: string;
  seconds: number;
  seed: number;
  coverage?: boolean;
}

/** What one target's run gave. */
interface Outcome {
  name: string;
  inputs: number;
  seconds: number;
  failures: string[];
  coverage?: string;
}

/** Runs inputs from `options.seed` on, and starts again after a crash. */
async function fuzz(
  target: string,
  transport: TransportName,
  options: Options,
): Promise<Outcome> {
  const name = `${target}-${transport}`;
  const outcome: Outcome = { name, inputs: 0, seconds: 0, failures: [] };
  const begun = performance.now();
  const left = () => options.seconds - (performance.now() - begun) / 1000;
  let seed = options.seed;
  const folder = options.coverage
    ? await Deno.makeTempDir({ prefix: "vireo-fuzz-" })
    : undefined;
  while (left() > 0 && outcome.failures.length < FAILURES_MAX) {
    const run = await runChild(target, transport, seed, left(), folder);
    outcome.inputs += run.last - seed + 1;
    for (const [failed, message] of run.failures) {
      const path = saveInput({ target, transport, seed: failed });
      outcome.failures.push(`${path}: ${message}`);
      console.error(`\n${name}, seed ${failed}: ${message}`);
    }
    seed = run.last + 1;
  }
  outcome.seconds = (performance.now() - begun) / 1000;
  if (folder) {
    outcome.coverage = await lines(folder, target);
    await Deno.remove(folder, { recursive: true });
  }
  return outcome;
}

interface Run {
  /** The last seed that was begun. */
  last: number;
  failures: [seed: number, message: string][];
}

async function runChild(
  target: string,
  transport: TransportName,
  seed: number,
  seconds: number,
  coverage?: string,
): Promise<Run> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-lock",
      ...(coverage ? [`--coverage=${coverage}`] : []),
      CHILD,
      target,
      transport,
      `${seed}`,
      `${seconds}`,
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const run: Run = { last: seed, failures: [] };
  let hung = false;
  const watchdog = () =>
    setTimeout(() => {
      hung = true;
      child.kill("SIGKILL");
    }, HANG_MS);
  let timer = watchdog();
  const text = child.stdout.pipeThrough(new TextDecoderStream());
  let rest = "";
  for await (const chunk of text) {
    clearTimeout(timer);
    timer = watchdog();
    const complete = (rest + chunk).split("\n");
    rest = complete.pop()!;
    for (const line of complete) {
      if (line.startsWith("! ")) run.failures.push([run.last, line.slice(2)]);
      else run.last = Number(line);
    }
    showProgress(`${target}-${transport}: ${run.last - seed + 1} inputs`);
  }
  clearTimeout(timer);
  const { success, signal } = await child.status;
  if (hung) run.failures.push([run.last, "hangs"]);
  else if (!success) run.failures.push([run.last, `ends by ${signal}`]);
  return run;
}

/** `93.5 %`: lines of the device's own files that ran. */
async function lines(folder: string, target: string): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "coverage",
      "--lcov",
      `--include=${FOLDER}${target}(/\\w+)?\\.ts$`,
      `--exclude=test`,
      folder,
    ],
    stderr: "null",
  }).output();
  let found = 0, hit = 0;
  for (const line of new TextDecoder().decode(stdout).split("\n")) {
    if (line.startsWith("LF:")) found += Number(line.slice(3));
    if (line.startsWith("LH:")) hit += Number(line.slice(3));
  }
  return found > 0 ? `${(100 * hit / found).toFixed(1)} %` : "?";
}

function list(text: string, previous: string[]): string[] {
  return [...previous, ...text.split(",").filter(Boolean)];
}

async function main(args: string[]): Promise<number> {
  const options = new Command("fuzz")
    .description(
      "A driver that breaks every rule, against each device. What goes wrong " +
        "is kept in fuzz/virtio/corpus and tested from then on.",
    )
    .option(
      "--target <names>",
      `of ${Object.keys(SUBJECTS).join(", ")}; default: all`,
      list,
      [],
    )
    .option("--transport <name>", "mmio, pci, or both", "both")
    .option("--seconds <n>", "for each target and transport", wholeNumber, 10)
    .option(
      "--seed <n>",
      "the first input; the same gives the same",
      wholeNumber,
      1,
    )
    .option("--coverage", "lines of the device's files that ran")
    .parse(args, { from: "user" }).opts<Options>();
  const targets = options.target.length > 0
    ? options.target
    : Object.keys(SUBJECTS);
  const unknown = targets.find((name) => !(name in SUBJECTS));
  if (unknown) throw new VireoError(`--target: there is no ${unknown}`);
  const transports = (["mmio", "pci"] as const)
    .filter((name) => [name, "both"].includes(options.transport));
  if (transports.length === 0) {
    throw new VireoError(`--transport ${options.transport}: not mmio or pci`);
  }
  let failed = false;
  for (const target of targets) {
    for (const transport of transports) {
      const outcome = await fuzz(target, transport, options);
      failed ||= outcome.failures.length > 0;
      const { name, inputs, seconds, failures, coverage } = outcome;
      console.log(
        `${name.padEnd(14)} ${inputs} inputs, ` +
          `${(inputs / seconds).toFixed(0)}/s, ${failures.length} failures` +
          (coverage ? `, ${coverage} of the device's lines` : ""),
      );
    }
  }
  return failed ? 1 : 0;
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    if (!(error instanceof VireoError)) throw error;
    console.error(`fuzz: ${error.message}`);
    Deno.exit(1);
  }
}
