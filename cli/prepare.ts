/**
 * `vireo prepare`.
 *
 * @module
 */
import { VireoError } from "../ffi/error.ts";
import { moduleFolder, prepare, prepareAll } from "../images/linux/prepare.ts";
import { type PreparedChoice, preparedChoice } from "./prepared_choice.ts";
import { load } from "./load.ts";
import {
  entryText,
  instantFolder,
  listEntries,
  removeEntry,
} from "./instant/cache.ts";
import { standardOutput } from "./streams/output.ts";

/** The command line's words. */
export interface PrepareCommandOptions {
  /** Everything, not only what a first boot needs. */
  all?: boolean;
  /** Which kernel: `research`. */
  variant?: string;
  /** Options of one's own for that. */
  kconfig?: string;
  /** The archive to write. */
  export?: string;
  /** The archive, its URL, or the folder to read. */
  from?: string;
  /** Show the machines that are kept for the next boot. */
  list?: boolean;
  /** Remove them. */
  clean?: boolean;
}

/**
 * Prepares kernels and root image, by building them or out of a bundle, and
 * prints where they are.
 *
 * @param options the command line's words
 * @throws {VireoError} when it can't
 */
export async function prepareCommand(
  options: PrepareCommandOptions,
): Promise<void> {
  const { all, from, list, clean } = options;
  const choice = preparedChoice(options);
  const more = [all || undefined, options.export, choice];
  const alone = more.every((option) => option === undefined);
  if (list || clean) {
    if (!alone || from !== undefined) {
      throw new VireoError(
        "prepare: --list and --clean go with no other option",
      );
    }
    return keptMachines(clean);
  }
  if (from !== undefined) {
    if (!alone) {
      throw new VireoError("prepare: --from goes with no other option");
    }
    const { takeBundle }: typeof import("../images/linux/bundle/read.ts") =
      await load(new URL("../images/linux/bundle/read.ts", import.meta.url));
    for (const path of await takeBundle(from)) standardOutput.print(path);
    return;
  }
  if (all && choice) {
    throw new VireoError("prepare: --all goes without --variant and --kconfig");
  }
  const paths = all ? await everything() : await firstBoot(choice);
  for (const [name, path] of Object.entries(paths)) {
    standardOutput.print(`${name.padEnd(6)}  ${path}`);
  }
  if (options.export === undefined) return;
  const { exportBundle }: typeof import("../images/linux/bundle/write.ts") =
    await load(new URL("../images/linux/bundle/write.ts", import.meta.url));
  const files = await exportBundle(options.export);
  const size = (await Deno.stat(options.export)).size / 1024 ** 2;
  standardOutput.print(
    `export  ${options.export}: ${files.length} files, ${size.toFixed(1)} MiB`,
  );
}

/** Shows the machines that are kept for the next boot; `clean` removes them. */
function keptMachines(clean = false): void {
  const kept = listEntries(instantFolder());
  for (const entry of kept) {
    if (clean) removeEntry(entry.folder);
    standardOutput.print(`${clean ? "removed " : ""}${entryText(entry)}`);
  }
  if (kept.length === 0) standardOutput.print("no machine is kept");
}

async function firstBoot(
  choice: PreparedChoice = { variant: "small" },
): Promise<Record<string, string>> {
  const { kernel, rootfs } = await prepare(choice);
  const modules = choice.variant === "research" &&
    { module: moduleFolder({ kernel }) };
  return { kernel, ...modules, root: rootfs };
}

async function everything(): Promise<Record<string, string>> {
  const { kernels, bzImages, rootfs } = await prepareAll();
  return { ...kernels, ...bzImages, root: rootfs };
}
