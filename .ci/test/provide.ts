/**
 * Sets up what the chosen tests need: Debian packages, kernels, root image.
 *
 * @module
 */
import { installCommand, packageOf, packagesFor } from "../../ffi/packages.ts";
import { cacheFolder } from "../../images/linux/cache.ts";
import { CommandLog } from "../../images/linux/logged_command.ts";
import {
  installPackages,
  missingPackages,
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
  const wanted = new Set(
    files.flatMap(({ programs }) => programs.map(packageOf)),
  );
  const kernels = await lacksKernels(files)
    ? packagesFor("kernel build", "root image")
    : [];
  const names = [...wanted.union(new Set(kernels))].toSorted();
  // Who may not install them goes on without.
  const missing = await missingPackages(names, true);
  if (missing.length === 0) return;
  if (Deno.uid() !== 0) {
    console.error(
      "test: packages are missing, and tests that need them are ignored; " +
        `for these: sudo ${installCommand(missing).join(" ")}`,
    );
    return;
  }
  console.error(`test: installing what tests need: ${missing.join(" ")}`);
  await Deno.mkdir(cacheFolder(), { recursive: true });
  using log = new CommandLog(`${cacheFolder()}/test-packages.log`);
  await installPackages(log, missing);
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
  const wanted = files.flatMap(({ prepared }) => prepared);
  const which = wanted.includes("research")
    ? ["--variant", "research"]
    : wanted.every((what) => what === "small")
    ? []
    : ["--all"];
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", MAIN, "prepare", ...which],
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
    wanted.has("research") ? prepared("research") : true,
  ]);
  return found.includes(undefined);
}
