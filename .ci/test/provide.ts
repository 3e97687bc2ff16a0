/**
 * Sets up what the chosen tests need: Debian packages, kernels, root image.
 *
 * @module
 */
import { installCommand, packageOf, packagesFor } from "../../ffi/packages.ts";
import { VireoError } from "../../ffi/error.ts";
import { cacheFolder } from "../../images/linux/cache.ts";
import { CommandLog } from "../../images/linux/logged_command.ts";
import {
  installedPackages,
  installPackages,
} from "../../images/linux/packages.ts";
import { prepared, preparedAll } from "../../images/linux/prepare.ts";
import type { ChosenFile } from "./choose.ts";

/** The command line's module. */
const MAIN = new URL("../../main.ts", import.meta.url).pathname;

/**
 * Installs the packages that chosen tests need and the host lacks, as root;
 * tells anyone else how. What a missing one means is told test by test.
 *
 * @param files the files with chosen tests
 * @throws {VireoError} when apt-get fails
 */
export async function providePackages(
  files: readonly ChosenFile[],
): Promise<void> {
  const wanted = new Map<string, string[]>();
  for (const program of files.flatMap(({ programs }) => programs)) {
    wanted.set(packageOf(program), [program]);
  }
  if (await lacksKernels(files)) {
    for (const name of packagesFor("kernel build", "root image")) {
      wanted.set(name, ["prepare"]);
    }
  }
  const installed = await installedPackages([...wanted.keys()]);
  const missing = [...wanted.keys()].filter((name) => !installed.has(name));
  if (missing.length === 0) return;
  const names = missing.toSorted();
  if (Deno.uid() !== 0) {
    console.error(
      "test: packages are missing, and tests that need them are ignored; " +
        `for these: sudo ${installCommand(names).join(" ")}`,
    );
    return;
  }
  console.error(`test: installing what tests need: ${names.join(" ")}`);
  await Deno.mkdir(cacheFolder(), { recursive: true });
  using log = new CommandLog(`${cacheFolder()}/test-packages.log`);
  await installPackages(log, names);
}

/**
 * Fetches the modules of the command line, so that the first test that runs it
 * is not the one that downloads them, and says so.
 *
 * @throws {VireoError} when they can't be had
 */
export async function provideModules(): Promise<void> {
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["cache", "--no-check", "--quiet", MAIN],
    stdin: "null",
  }).spawn().status;
  if (!success) {
    throw new VireoError("test: npm packages are missing, see above");
  }
}

/**
 * Builds the kernels and root image that chosen tests need, where they are
 * missing. Its progress goes to standard error.
 *
 * @param files the files with chosen tests
 * @returns whether all of them are there now
 */
export async function provideKernels(
  files: readonly ChosenFile[],
): Promise<boolean> {
  if (!await lacksKernels(files)) return true;
  const small = files.every(({ prepared }) =>
    prepared.every((what) => what === "small")
  );
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", MAIN, "prepare", ...(small ? [] : ["--all"])],
    stdin: "null",
    stdout: "null",
  }).spawn().status;
  return success;
}

async function lacksKernels(files: readonly ChosenFile[]): Promise<boolean> {
  const wanted = new Set(files.flatMap(({ prepared }) => prepared));
  const found = await Promise.all([
    wanted.has("small") ? prepared() : true,
    wanted.has("full") ? prepared("full") : true,
    wanted.has("all") ? preparedAll() : true,
  ]);
  return found.includes(undefined);
}
