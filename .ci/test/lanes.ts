/**
 * Runs test files in processes of `deno test`, one lane of them per core, and one
 * of low priority, which takes the shortest ones: a core is idle where a test
 * waits. With the same priority for it the longest tests took twice as long.
 * Programs of others have none of it: a client that was nice waited three seconds
 * for a socket, and gave up.
 *
 * A process of its own keeps a file's descriptors, mappings and threads apart
 * from those of the file that runs beside it, which tests count.
 *
 * @module
 */
import type { ChosenFile } from "./choose.ts";
import { type FileResult, ReportReader } from "./results.ts";

const ROOT = new URL("../../", import.meta.url);

/** A process is started for so many tests of files that take no time. */
const SMALL_BATCH = 60;

/** Or for so much time, in seconds. */
const SHORT = 15;

/** How much the others come first: it gets a third of what they do. */
const NICE = 5;

/** Longer than any process takes that goes on at all. */
const LIMIT_MS = 20 * 60_000;

/** One process: its files, and what it needs before it can start. */
export interface Batch {
  /** Paths of the files. */
  paths: string[];
  /** Whether it needs what is being prepared. */
  needsPrepared: boolean;
  /** How long it is likely to take, in seconds. */
  seconds: number;
}

/** What came of a batch. */
export interface BatchResult {
  /** What the process printed. */
  output: string;
  /** Whether it ended with status 0. */
  success: boolean;
  /** The tests, file by file; empty when the process gave no report. */
  files: FileResult[];
}

/**
 * Puts files into batches: one each for those that take long, many together of
 * those that don't.
 *
 * @param files what was chosen
 * @param seconds how long each file took the last time, by path
 * @returns batches, the longest first
 */
export function batches(
  files: readonly ChosenFile[],
  seconds: ReadonlyMap<string, number>,
): Batch[] {
  const result: Batch[] = [];
  /** The last batch of small ones that need what is prepared, and that don't. */
  const small = new Map<boolean, Batch & { tests: number }>();
  for (const file of files) {
    const needsPrepared = file.prepared.length > 0;
    const guess = seconds.get(file.path) ?? (needsPrepared ? 30 : 1);
    if (guess > 5 || file.alone) {
      result.push({ paths: [file.path], needsPrepared, seconds: guess });
      continue;
    }
    let batch = small.get(needsPrepared);
    if (
      batch === undefined || batch.tests >= SMALL_BATCH ||
      batch.seconds >= SHORT
    ) {
      batch = { paths: [], needsPrepared, seconds: 0, tests: 0 };
      small.set(needsPrepared, batch);
      result.push(batch);
    }
    batch.paths.push(file.path);
    batch.seconds += guess;
    batch.tests += file.tests;
  }
  return result.sort((a, b) => b.seconds - a.seconds);
}

/**
 * Runs all batches.
 *
 * @param all the batches, in the order in which they are best started
 * @param prepared resolves when what is to be prepared is there; until then
 *   one lane runs, beside the compiler
 * @param args options for `deno test`
 * @param spare whether there is a lane of low priority
 * @param onChange told of each batch when it begins, and of its result
 */
export async function runLanes(
  all: readonly Batch[],
  prepared: Promise<unknown>,
  args: readonly string[],
  spare: boolean,
  onChange: (batch: Batch, result?: BatchResult) => void,
): Promise<void> {
  await using reader = new ReportReader();
  const waiting = [...all];
  let ready = false;
  const whenReady = prepared.then(() => ready = true);
  const next = (shortest: boolean) => {
    const can = ({ needsPrepared }: Batch) => ready || !needsPrepared;
    const at = shortest ? waiting.findLastIndex(can) : waiting.findIndex(can);
    return at < 0 ? undefined : waiting.splice(at, 1)[0];
  };
  const lane = async (nice = 0): Promise<void> => {
    while (waiting.length > 0) {
      const batch = next(nice > 0);
      if (batch === undefined) {
        await whenReady;
        continue;
      }
      onChange(batch);
      onChange(batch, await runBatch(batch, args, nice, reader));
    }
  };
  const whenPrepared = async (nice?: number) => {
    await whenReady;
    await lane(nice);
  };
  const others = Array.from(
    { length: navigator.hardwareConcurrency - 1 },
    () => whenPrepared(),
  );
  if (spare) others.push(whenPrepared(NICE));
  await Promise.all([lane(), ...others]);
}

async function runBatch(
  { paths }: Batch,
  args: readonly string[],
  nice: number,
  reader: ReportReader,
): Promise<BatchResult> {
  const folder = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  const report = `${folder}/report.xml`;
  Deno.writeTextFileSync(report, ""); // as it stays if it comes to nothing
  try {
    const { success, stdout, stderr } = await new Deno.Command(
      "nice",
      {
        // Types are checked once, for all files.
        args: [
          ...["-n", `${nice}`, Deno.execPath()],
          ...["test", "-A", "--no-check", `--junit-path=${report}`],
          ...args,
          oneModule(paths, folder),
        ],
        cwd: ROOT,
        stdin: "null",
        signal: AbortSignal.timeout(LIMIT_MS),
      },
    ).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    const files = await reader.read(Deno.readTextFileSync(report));
    return { success, output: text(stdout) + text(stderr), files };
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/**
 * A module with all tests of a batch: `deno test` compiles what a file imports
 * anew for each one that it is given, a seventh of a second of it.
 */
function oneModule(paths: readonly string[], folder: string): string {
  const [first, ...others] = paths;
  if (others.length === 0) return first!;
  const module = `${folder}/batch_test.ts`;
  const imports = paths.map((path) => `import "${new URL(path, ROOT)}";\n`);
  Deno.writeTextFileSync(module, imports.join(""));
  return module;
}
