/**
 * For tests: a crate's own tests, as they are on crates.io, built once.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { exists } from "../../ffi/file.ts";
import { cacheFolder } from "../../images/linux/cache.ts";

/** What is built. */
export interface Crate {
  /** Its name on crates.io. */
  name: string;
  /** Exactly this one. */
  version: string;
  /** Its features, with commas between them. */
  features: string;
  /** Versions of what it is built with, a Cargo.lock: it has none of its own. */
  lock: URL;
  /** Which of its tests, in cargo's words; default: all. */
  which?: string[];
  /** Settings of cargo that go over the crate's own: `["a.b=1"]`. */
  settings?: string[];
}

/** How its tests run. */
export interface CrateRun {
  /** Options of its tests. */
  args: string[];
  /** What they want to know. */
  env: Record<string, string>;
  /** A program that starts cargo, and its arguments; none: it starts itself. */
  through?: string[];
}

/** What became of its tests. */
export interface CrateResults {
  /** How many passed. */
  passed: number;
  /** Names of those that did not. */
  failed: string[];
  /** All that was printed. */
  text: string;
}

/** Sources and build of a crate, which are kept in the cache. */
class Build {
  readonly folder: string;
  /** Its sources. */
  readonly sources: string;

  /** What it is built with. */
  readonly #lock: string;
  readonly #settings: readonly string[];

  constructor(crate: Crate, compiler: string) {
    const { name, version, features, lock, settings = [] } = crate;
    this.#lock = Deno.readTextFileSync(lock);
    this.#settings = settings.flatMap((setting) => ["--config", setting]);
    const inputs = JSON.stringify([
      ...[name, version, features, compiler, this.#lock, ...settings],
    ]);
    const key = createHash("sha256").update(inputs).digest("hex").slice(0, 16);
    this.folder = `${cacheFolder()}/rust-clients/${name}-${key}`;
    this.sources = `${this.folder}/vendor/${name}-${version}`;
  }

  /** Runs cargo; its progress is seen, unless it is to be kept. */
  async cargo(
    cwd: string,
    args: string[],
    { env, through = [] }: Omit<CrateRun, "args"> = { env: {} },
    progress: "inherit" | "piped" = "inherit",
  ): Promise<{ success: boolean; text: string }> {
    const deno = Deno.execPath();
    const line = [...through, "cargo", ...this.#settings, ...args];
    const output = await new Deno.Command(line[0]!, {
      args: line.slice(1),
      cwd,
      env: {
        PATH: `${deno.slice(0, deno.lastIndexOf("/"))}:${Deno.env.get("PATH")}`,
        CARGO_TARGET_DIR: `${this.folder}/target`,
        CARGO_INCREMENTAL: "0",
        CARGO_PROFILE_TEST_DEBUG: "0",
        CARGO_PROFILE_DEV_DEBUG: "0",
        ...env,
      },
      stdin: "null",
      stderr: progress,
    }).output();
    const parts = [output.stdout];
    if (progress === "piped") parts.push(output.stderr);
    const text = parts.map((bytes) => new TextDecoder().decode(bytes));
    return { success: output.success, text: text.join("\n") };
  }

  /** Fetches the crate as it is published. */
  async fetch({ name, version }: Crate): Promise<void> {
    if (exists(`${this.folder}/whole`)) return;
    Deno.mkdirSync(`${this.folder}/src`, { recursive: true });
    Deno.writeTextFileSync(`${this.folder}/src/lib.rs`, "");
    Deno.writeTextFileSync(
      `${this.folder}/Cargo.toml`,
      '[package]\nname = "fetches"\nversion = "0.1.0"\nedition = "2021"\n' +
        `[dependencies]\n${name} = "=${version}"\n` +
        '[workspace]\nexclude = ["vendor"]\n',
    );
    const args = ["vendor", "--versioned-dirs"];
    const { success } = await this.cargo(this.folder, args);
    if (!success) throw new Error(`${name}: cargo can't fetch it, see above`);
    Deno.writeTextFileSync(`${this.sources}/Cargo.lock`, this.#lock);
    Deno.writeTextFileSync(`${this.folder}/whole`, "");
  }
}

/**
 * Builds a crate's own tests, with the versions of other crates in its lock.
 *
 * @param crate which one
 * @returns runs them
 * @throws {Error} it can't be fetched or built
 */
export async function crateTests(
  crate: Crate,
): Promise<(run: CrateRun) => Promise<CrateResults>> {
  const { stdout } = await new Deno.Command("rustc", { args: ["-V"] }).output();
  const build = new Build(crate, new TextDecoder().decode(stdout));
  await build.fetch(crate);
  const { features, which = ["--tests"] } = crate;
  const test = ["test", "--locked", "--features", features, ...which];
  const { sources } = build;
  const { success } = await build.cargo(sources, [...test, "--no-run"]);
  if (!success) throw new Error(`${crate.name}: cargo can't build it`);
  return async (run) => {
    const all = [...test, "--offline", "--no-fail-fast", "--", ...run.args];
    const { text } = await build.cargo(sources, all, run, "piped");
    return results(text);
  };
}

/** Of each of its programs, which print between the lines what they like. */
function results(text: string): CrateResults {
  const counts = text.matchAll(/^test result: \w+\. (\d+) passed;/gm);
  const lists = text.matchAll(/^failures:\n((?: {4}\S+\n)+)/gm);
  return {
    passed: [...counts].reduce((sum, [, count]) => sum + Number(count), 0),
    failed: [...lists].flatMap(([, list]) => list!.trim().split(/\s+/)),
    text,
  };
}
