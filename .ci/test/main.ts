/**
 * `task test` and its like: sets up what the chosen tests need, runs
 * them, and tells what came of it.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { cacheFolder } from "../../images/linux/cache.ts";
import { withSbin } from "../../images/linux/logged_command.ts";
import { readArguments } from "./arguments.ts";
import { choose, filesOf } from "./choose.ts";
import { type Batch, batches, type BatchResult, runLanes } from "./lanes.ts";
import { provideKernels, providePackages } from "./provide.ts";
import { StatusLine } from "./status_line.ts";
import {
  count,
  failures,
  reasons,
  secondsOf,
  slowest,
  summary,
} from "./report.ts";
import type { FileResult } from "./results.ts";

const ROOT = new URL("../../", import.meta.url);
/** How long each file took, so that the longest begin first. */
const TIMES = `${cacheFolder()}/test-seconds.json`;

function readTimes(): Map<string, number> {
  try {
    return new Map(Object.entries(JSON.parse(Deno.readTextFileSync(TIMES))));
  } catch {
    return new Map(); // the first run, or a file of another version's
  }
}

function keepTimes(times: Map<string, number>): void {
  try {
    const text = JSON.stringify(Object.fromEntries(times));
    Deno.writeTextFileSync(TIMES, text);
  } catch {
    // They only make the next run quicker.
  }
}

/** The types of all chosen files: whether they are right. */
async function checkTypes(paths: readonly string[]): Promise<boolean> {
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["check", "--quiet", ...paths],
    cwd: ROOT,
    stdin: "null",
  }).spawn().status;
  return success;
}

function tell(
  { paths }: Batch,
  { files, output, success }: BatchResult,
  done: string,
): void {
  for (const { path, tests } of files) {
    const { tests: counts } = count([{ path, tests }]);
    const seconds = secondsOf(tests);
    const parts = Object.entries(counts).filter(([, many]) => many > 0)
      .map(([outcome, many]) => `${many} ${outcome}`);
    console.log(
      `${done} ${path}: ${parts.join(", ")} (${seconds.toFixed(1)} s)`,
    );
  }
  if (success) return;
  console.log(`\n--- ${paths.join(" ")}\n${output}\n---`);
}

function section(title: string, lines: readonly string[]): void {
  if (lines.length > 0) console.log(`\n${title}:\n${lines.join("\n")}`);
}

/** Runs what was asked for; returns the exit status. */
async function main(): Promise<number> {
  const start = performance.now();
  const args = readArguments(Deno.args);
  Deno.env.set("PATH", withSbin()); // mke2fs and ip, for ordinary users
  const wanted = filesOf(args);
  // Both take a core each; with a filter, most files may not be chosen.
  const early = args.filter === undefined ? checkTypes(wanted) : undefined;
  const chosen = await choose(wanted, args.filter);
  if (chosen.length === 0) throw new VireoError("test: no test was chosen");
  await providePackages(chosen);
  const paths = chosen.map(({ path }) => path);
  const times = readTimes();
  const results: FileResult[] = [];
  let ok = true;
  const filter = args.filter === undefined ? [] : [`--filter=${args.filter}`];
  let files = 0;
  using status = new StatusLine();
  const prepared = provideKernels(chosen).then((success) => {
    // Who may not install packages has tests ignored for it; root may.
    if (!success && Deno.uid() === 0) ok = false;
  });
  const types = early ?? checkTypes(paths);
  await runLanes(
    batches(chosen, times),
    prepared,
    [...filter, ...args.others],
    args.suite !== "peers",
    (batch, result) => {
      if (result === undefined) return status.add(batch);
      status.remove(batch);
      files += batch.paths.length;
      ok &&= result.success;
      results.push(...result.files);
      for (const { path, tests } of result.files) {
        times.set(path, secondsOf(tests));
      }
      tell(batch, result, `[${files}/${paths.length}]`);
    },
  );
  ok = await types && ok;
  if (args.filter === undefined) keepTimes(times);

  section("slowest", slowest(results));
  section("ignored", reasons(results));
  section("failed", failures(results));
  if (args.suite === "own") {
    console.log(
      "\nTests with QEMU and other heavy peers have a task of their own: " +
        "task test:peers; those with the research kernel: task test:research",
    );
  }
  const seconds = (performance.now() - start) / 1000;
  console.log(`\n${summary(count(results), ok, seconds)}`);
  return ok ? 0 : 1;
}

if (import.meta.main) {
  try {
    Deno.exitCode = await main();
  } catch (error) {
    if (!(error instanceof VireoError)) throw error;
    console.error(`vireo: ${error.message}`);
    Deno.exitCode = 1;
  }
}
