/**
 * Which tests there are, and what each needs, without running any.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { fits, suiteOf, type TestArguments } from "./arguments.ts";
import type { RecordedTest } from "./record.ts";

const ROOT = new URL("../../", import.meta.url);
const RECORD = new URL("record.ts", import.meta.url).pathname;

/** A file with tests that were chosen. */
export interface ChosenFile {
  /** Its path, from the project's folder on. */
  path: string;
  /** Names of programs that its tests call. */
  programs: string[];
  /** What has to be prepared for them. */
  prepared: string[];
  /** How many of its tests were chosen. */
  tests: number;
  /** They need a process of their own. */
  alone?: boolean;
}

/**
 * The files in which tests are to be looked for.
 *
 * @param args what was asked for
 * @throws {VireoError} when a path is not there
 */
export function filesOf(args: TestArguments): string[] {
  const files = args.paths.length > 0
    ? args.paths.flatMap((path) => [...testFiles(path)])
    : [...testFiles(".")];
  const named = args.paths.filter((path) => path.endsWith(".ts"));
  return [...new Set(files)].filter((path) =>
    named.includes(path) || suiteOf(path) === args.suite
  );
}

/**
 * Chooses tests.
 *
 * @param files where they are
 * @param filter what their names have to fit; default: all do
 * @throws {VireoError} when a file can't be loaded
 */
export async function choose(
  files: readonly string[],
  filter?: string,
): Promise<ChosenFile[]> {
  const chosen: ChosenFile[] = [];
  for (const [path, tests] of await record(files)) {
    const those = tests.filter(({ name }) => fits(name, filter));
    if (those.length === 0) continue;
    const programs = [...new Set(those.flatMap((test) => test.programs))];
    const prepared = [...new Set(those.flatMap((test) => test.prepared))];
    const alone = those.some((test) => test.alone);
    chosen.push({ path, programs, prepared, tests: those.length, alone });
  }
  return chosen;
}

/** The files with tests in a folder, or the file itself. */
function* testFiles(path: string): Generator<string> {
  const relative = path.replace(/^\.\//, "").replace(/\/$/, "");
  let stat: Deno.FileInfo;
  try {
    stat = Deno.statSync(new URL(relative || ".", ROOT));
  } catch {
    throw new VireoError(`test: no such file or folder "${path}"`);
  }
  if (stat.isFile) yield relative;
  if (!stat.isDirectory) return;
  const folder = relative === "." || relative === "" ? "" : `${relative}/`;
  for (const entry of Deno.readDirSync(new URL(folder || ".", ROOT))) {
    if (entry.isDirectory) {
      const hidden = entry.name.startsWith(".") && entry.name !== ".ci";
      if (hidden || entry.name === "node_modules") continue;
      yield* testFiles(`${folder}${entry.name}`);
    } else if (entry.name.endsWith("_test.ts")) yield `${folder}${entry.name}`;
  }
}

/** Loads the files in a process of their own, which notes what they register. */
async function record(
  paths: readonly string[],
): Promise<Map<string, RecordedTest[]>> {
  if (paths.length === 0) return new Map();
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", RECORD, ...paths],
    cwd: ROOT,
    stdin: "null",
    stderr: "inherit",
  }).output();
  if (!success) throw new VireoError("test: a file can't be loaded, see above");
  const text = new TextDecoder().decode(stdout);
  return new Map(Object.entries(JSON.parse(text.split("\n").at(-2) ?? "")));
}
