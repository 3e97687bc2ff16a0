/**
 * What the research variant's build has beside a kernel: the user's own options,
 * and what modules are built with.
 *
 * @module
 */
import type { KconfigFragment } from "./kconfig.ts";
import { type CommandLog, runLogged } from "./logged_command.ts";

/**
 * Makes sure that a configured kernel has the user's options.
 *
 * @param own what was asked for
 * @param built the folder with the `.config`
 * @param source the source's folder
 * @throws {VireoError} it has not
 */
export async function checkOptions(
  own: KconfigFragment,
  built: string,
  source: string,
): Promise<void> {
  const config = await Deno.readTextFile(`${built}/.config`);
  await own.check(config, (name) => hasOption(source, name));
}

/** Some Kconfig file has it. */
async function hasOption(source: string, name: string): Promise<boolean> {
  const { code } = await new Deno.Command("grep", {
    args: [
      ...["-rqE", `^[[:space:]]*(menu)?config[[:space:]]+${name}$`],
      ...["--include=Kconfig*", source],
    ],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).output();
  return code === 0;
}

/** Where things are. */
interface Folders {
  source: string;
  built: string;
  /** To be made. */
  folder: string;
}

/** As Debian's package of headers has it: the source's part, */
const OF_SOURCE = [
  "find . arch/x86 -maxdepth 1 -name 'Makefile*'",
  "find include scripts -type f -o -type l",
  "find arch/x86 -name Kbuild.platforms -o -name Platform",
  "find $(find arch/x86 -name include -o -name scripts -type d) -type f",
] as const;
/** and what was made of it, which comes after that. */
const OF_BUILD = [
  "find arch/x86/include Module.symvers include scripts -type f",
  "echo .config",
] as const;

/**
 * Copies what modules are built with, and no more.
 *
 * @param log where the output of programs goes
 * @throws {VireoError} if a program fails
 */
export async function keepForModules(
  log: CommandLog,
  { source, built, folder }: Folders,
): Promise<void> {
  await Deno.mkdir(folder);
  for (
    const [from, finds] of [[source, OF_SOURCE], [built, OF_BUILD]] as const
  ) {
    const list = finds.join("; ");
    const copy = `(${list}) | tar -c -f - -T - | tar -xf - -C "$0"`;
    await runLogged(log, ["sh", "-ec", copy, folder], { cwd: from });
  }
  await Deno.stat(`${folder}/Module.symvers`); // a list may have been cut
}
