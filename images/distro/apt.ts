/**
 * Packages from the mirrors that this host's apt knows, without installing
 * them, as any user.
 *
 * @module
 */
import { VireoError } from "../../ffi/errno.ts";
import { type CommandLog, runLogged } from "../linux/logged_command.ts";
import { runText } from "./run_binary.ts";

/** A package as `apt-cache show` describes it. */
export interface Package {
  /** Its name. */
  name: string;
  /** The newest version. */
  version: string;
  /** What it needs: names only, alternatives left out. */
  depends: string[];
}

/** apt on this host. */
export class Apt {
  readonly #folder: string;
  readonly #log: CommandLog;
  /** Options that make apt use lists of our own. */
  #own: string[] = [];

  /**
   * @param folder where lists of our own go, when the system's won't do
   * @param log where the output of programs goes
   */
  constructor(folder: string, log: CommandLog) {
    this.#folder = folder;
    this.#log = log;
  }

  /**
   * The newest version of a package. Fetches lists of packages when the system
   * has none, as in a fresh container.
   *
   * @throws {VireoError} when there is no apt, or no such package
   */
  async show(name: string): Promise<Package> {
    const found = await this.#show(name);
    if (found) return found;
    await this.#update();
    const now = await this.#show(name);
    if (now) return now;
    throw new VireoError(
      `${name}: apt knows no such package; --distro needs Debian's mirrors`,
    );
  }

  /**
   * Downloads a package into a folder.
   *
   * @param onPart told how much is done, 0 to 1
   * @returns the path of the .deb file
   */
  async download(
    { name, version }: Pick<Package, "name" | "version">,
    into: string,
    onPart: (part: number) => void = () => {},
  ): Promise<string> {
    try {
      await this.#download(name, version, into, onPart);
    } catch (error) {
      if (!(error instanceof VireoError) || this.#own.length > 0) throw error;
      // The mirror doesn't have what an old list names.
      await this.#update();
      await this.#download(name, (await this.show(name)).version, into, onPart);
    }
    for await (const entry of Deno.readDir(into)) {
      if (entry.name.startsWith(`${name}_`)) return `${into}/${entry.name}`;
    }
    throw new VireoError(`apt-get download ${name}: left no file`);
  }

  async #download(
    name: string,
    version: string,
    into: string,
    onPart: (part: number) => void,
  ): Promise<void> {
    // As root, apt would drop to a user that may not write here.
    const options = ["-q", "-o", "APT::Sandbox::User=", ...this.#own];
    const progress = ["-o", "APT::Status-Fd=1"];
    const argv = ["apt-get", ...options, ...progress, "download"] as const;
    await runLogged(this.#log, [...argv, `${name}=${version}`], {
      cwd: into,
      onLine: (line) => {
        const percent = /^dlstatus:\d+:([\d.]+):/.exec(line)?.[1];
        if (percent !== undefined) onPart(Number(percent) / 100);
      },
    });
  }

  async #show(name: string): Promise<Package | undefined> {
    const args = [...this.#own, "show", "--no-all-versions", name];
    try {
      return parsePackage(await runText("apt-cache", args));
    } catch (error) {
      if (!(error instanceof VireoError)) throw error;
      if (!/no such program/.test(error.message)) return undefined;
      throw new VireoError(
        "apt-cache: no such program; --distro debian needs apt, " +
          "on other systems give a kernel and an --initrd",
      );
    }
  }

  /** Lists of our own: the system's belong to root. */
  async #update(): Promise<void> {
    const state = `${this.#folder}/apt`;
    await Deno.mkdir(`${state}/lists/partial`, { recursive: true });
    await Deno.mkdir(`${state}/archives/partial`, { recursive: true });
    this.#own = [
      "-o",
      `Dir::State::lists=${state}/lists`,
      "-o",
      `Dir::Cache=${state}`,
    ];
    const sandbox = ["-o", "APT::Sandbox::User="];
    await runLogged(this.#log, ["apt-get", ...sandbox, ...this.#own, "update"]);
  }
}

/** Reads what `apt-cache show` printed; undefined when it is nothing. */
export function parsePackage(text: string): Package | undefined {
  const field = (key: string) =>
    new RegExp(`^${key}: (.*)$`, "m").exec(text)?.[1];
  const name = field("Package");
  const version = field("Version");
  if (!name || !version) return undefined;
  const depends = (field("Depends") ?? "").split(",")
    .map((entry) => entry.trim().split(/[ (:|]/)[0]!)
    .filter(Boolean);
  return { name, version, depends };
}
