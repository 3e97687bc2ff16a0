/**
 * Debian packages that a build needs.
 *
 * @module
 */
import { VireoError } from "../../ffi/errno.ts";
import { installCommand } from "../../ffi/packages.ts";
import { type CommandLog, runLogged } from "./logged_command.ts";

/** Installed packages: name to version. */
export type Installed = ReadonlyMap<string, string>;

/**
 * What dpkg knows to be installed, of a list of packages. Nothing, where there
 * is no dpkg.
 *
 * @param packages names of packages
 */
export async function installedPackages(
  packages: readonly string[],
): Promise<Installed> {
  try {
    const { stdout } = await new Deno.Command("dpkg-query", {
      args: [
        "-W",
        "-f",
        "${Package} ${db:Status-Status} ${Version}\n",
        ...packages,
      ],
      stderr: "null",
    }).output();
    return parseDpkg(new TextDecoder().decode(stdout));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return new Map();
    throw error;
  }
}

/**
 * Reads lines of `package status version`.
 *
 * @param text what dpkg-query printed
 */
export function parseDpkg(text: string): Installed {
  const installed = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [name, status, version] = line.split(" ");
    if (name && version && status === "installed") installed.set(name, version);
  }
  return installed;
}

/**
 * What to tell someone who may not install packages.
 *
 * @param missing names of packages
 */
export function missingPackagesMessage(missing: readonly string[]): string {
  const command = installCommand(missing).join(" ");
  return `packages are missing; install them with: sudo ${command}`;
}

/**
 * Which packages are missing, where this process may install them.
 *
 * @param names names of packages
 * @param isRoot whether it may
 * @throws {VireoError} when some are missing and it may not
 */
export async function missingPackages(
  names: readonly string[],
  isRoot: boolean = Deno.uid() === 0,
): Promise<string[]> {
  const installed = await installedPackages(names);
  const missing = names.filter((name) => !installed.has(name));
  if (missing.length === 0 || isRoot) return missing;
  throw new VireoError(missingPackagesMessage(missing));
}

/**
 * Installs packages, of the versions that there are now.
 *
 * @param log where apt-get's output goes
 * @param missing names of packages
 * @param onPart told the part of the work that is done, 0 to 1
 * @throws {VireoError} when apt-get fails
 */
export async function installPackages(
  log: CommandLog,
  missing: readonly string[],
  onPart: (part: number) => void = () => {},
): Promise<void> {
  const [apt, ...args] = installCommand(missing);
  const install = [
    apt,
    ...["-o", "APT::Status-Fd=1"],
    // Another apt-get may be at work, such as one whose prepare was killed.
    ...["-o", "DPkg::Lock::Timeout=300"],
    ...args,
  ] as const;
  const options = {
    env: { DEBIAN_FRONTEND: "noninteractive" },
    onLine: (line: string) => {
      const part = aptPart(line);
      if (part !== undefined) onPart(part);
    },
  };
  const update = ["apt-get", "update"] as const;
  // Old lists have old versions, and in a container there may be none.
  await unlessItFails(runLogged(log, update, options));
  try {
    await runLogged(log, install, options);
  } catch (error) {
    if (!(error instanceof VireoError)) throw error;
    // An interrupted installation has to be ended before there is another.
    await runLogged(log, ["dpkg", "--configure", "-a"], options);
    await runLogged(log, update, options);
    await runLogged(log, install, options);
  }
}

/** What can be done without; why it failed is in the log. */
async function unlessItFails(step: Promise<void>): Promise<void> {
  try {
    await step;
  } catch (error) {
    if (!(error instanceof VireoError)) throw error;
  }
}

/**
 * How far an installation is, 0 to 1, by a line of apt-get's status: the first
 * half of the work is fetching, the second unpacking and setting up.
 *
 * @param line such as `dlstatus:3:12.5:Retrieving file 3 of 56`
 */
export function aptPart(line: string): number | undefined {
  const [, what, percent] = /^(dl|pm)status:.*?:([\d.]+):/.exec(line) ?? [];
  if (percent === undefined) return undefined;
  return (Number(percent) / 100 + (what === "dl" ? 0 : 1)) / 2;
}
