/**
 * Debian packages that a build needs.
 *
 * @module
 */
import { VireoError } from "../../ffi/errno.ts";
import { installCommand, packagesFor } from "../../ffi/packages.ts";
import { type CommandLog, runLogged } from "./logged_command.ts";

// The recipe of the kernels has it by this name.
export { KERNEL_SOURCE as SOURCE_PACKAGE } from "../../ffi/packages.ts";

/** All packages that preparing needs. */
export const PREPARE_PACKAGES: readonly string[] = packagesFor(
  "kernel build",
  "root image",
);

/** Installed packages: name to version. */
export type Installed = ReadonlyMap<string, string>;

/**
 * What dpkg knows to be installed, of a list of packages. Nothing, where there
 * is no dpkg.
 *
 * @param packages names of packages
 */
export async function installedPackages(
  packages: readonly string[] = PREPARE_PACKAGES,
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
 * Makes sure that all packages that preparing needs are there: installs the
 * missing ones.
 *
 * @param log where apt-get's output goes
 * @param onInstall called before an installation
 * @param isRoot whether this process may install
 * @returns what is installed
 * @throws {VireoError} when some are missing and it may not or can't
 */
export async function ensurePackages(
  log: CommandLog,
  onInstall: () => void = () => {},
  isRoot: boolean = Deno.uid() === 0,
): Promise<Installed> {
  const before = await installedPackages();
  const missing = PREPARE_PACKAGES.filter((name) => !before.has(name));
  if (missing.length === 0) return before;
  if (!isRoot) throw new VireoError(missingPackagesMessage(missing));
  onInstall();
  await installPackages(log, missing);
  return await installedPackages();
}

/**
 * Installs packages, with new lists of packages where the old ones won't do.
 *
 * @param log where apt-get's output goes
 * @param missing names of packages
 * @throws {VireoError} when apt-get fails
 */
export async function installPackages(
  log: CommandLog,
  missing: readonly string[],
): Promise<void> {
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  try {
    await runLogged(log, installCommand(missing), { env });
  } catch (error) {
    if (!(error instanceof VireoError)) throw error;
    // The lists of packages may be old or, in a container, not there at all.
    await runLogged(log, ["apt-get", "update"], { env });
    await runLogged(log, installCommand(missing), { env });
  }
}
