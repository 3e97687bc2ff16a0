/**
 * Options of the user's own for the research kernel: a fragment of a `.config`.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";

/** `CONFIG_NAME=value`; `n`: it is not set. */
interface KconfigOption {
  name: string;
  value: string;
  line: number;
}

const SET = /^CONFIG_(\w+)=([ymn]|-?\d+|0x[0-9a-fA-F]+|"(?:[^"\\]|\\.)*")$/;
const NOT_SET = /^# CONFIG_(\w+) is not set$/;
const MORE_THAN_ANY = 1024 * 1024;

/** A fragment that has been read, and makes sense as far as one can see. */
export class KconfigFragment {
  /** Names the file in errors. */
  readonly label: string;
  /** Of one name, the last counts, as in the kernel's own files. */
  readonly #options: ReadonlyMap<string, KconfigOption>;

  /**
   * Takes a fragment's text.
   *
   * @param label names it in errors
   * @throws {VireoError} a line is no option, or there is none
   */
  constructor(text: string, label: string) {
    this.label = `kconfig "${label}"`;
    const options = new Map<string, KconfigOption>();
    text.split("\n").forEach((all, index) => {
      const line = all.trim();
      const option = this.#option(line, index + 1);
      if (option) options.set(option.name, option);
    });
    if (options.size === 0) throw new VireoError(`${this.label}: no option`);
    this.#options = options;
  }

  /**
   * Reads a file.
   *
   * @throws {VireoError} it can't be read, or is no fragment
   */
  static async read(path: string): Promise<KconfigFragment> {
    let text: string;
    try {
      const { size } = await Deno.stat(path);
      if (size > MORE_THAN_ANY) {
        throw new VireoError(`has ${size} bytes: it is no fragment`);
      }
      text = await Deno.readTextFile(path);
    } catch (error) {
      const why = error instanceof Deno.errors.NotFound
        ? "no such file"
        : error instanceof Error
        ? error.message
        : `${error}`;
      throw new VireoError(`kconfig "${path}": ${why}`);
    }
    return new KconfigFragment(text, path);
  }

  /** The options alone, in order: what is the same builds the same kernel. */
  get text(): string {
    return [...this.#options.values()].map(lineOf).sort().join("\n") + "\n";
  }

  /**
   * Makes sure that a kernel is configured as was asked for.
   *
   * @param config its `.config`, which Kconfig has completed
   * @param exists whether the source has an option of that name
   * @throws {VireoError} an option is not as asked for
   */
  async check(
    config: string,
    exists: (name: string) => Promise<boolean>,
  ): Promise<void> {
    const values = new Map<string, string>();
    for (const line of config.split("\n")) {
      const [, name, value] = /^CONFIG_(\w+)=(.*)$/.exec(line) ?? [];
      if (name !== undefined) values.set(name, value!);
    }
    for (const option of this.#options.values()) {
      const { name, value, line } = option;
      const got = values.get(name) ?? "n";
      if (got === value) continue;
      const what = `${this.label}: line ${line}: ${lineOf(option)}: `;
      if (value === "n") {
        throw new VireoError(`${what}it is ${got}: others select it`);
      }
      if (!await exists(name)) {
        throw new VireoError(`${what}this kernel has no such option`);
      }
      throw new VireoError(
        what +
          (got === "n"
            ? "left out: what it depends on is not set, or it can't be chosen"
            : `the kernel makes it ${got}`),
      );
    }
  }

  #option(line: string, number: number): KconfigOption | undefined {
    const [, unset] = NOT_SET.exec(line) ?? [];
    if (unset !== undefined) return { name: unset, value: "n", line: number };
    if (line === "" || line.startsWith("#")) return undefined;
    const [, name, value] = SET.exec(line) ?? [];
    const where = `${this.label}: line ${number}: "${line.slice(0, 60)}"`;
    if (name === undefined) {
      throw new VireoError(
        `${where}: no option; write CONFIG_NAME=y, a number, or "text"`,
      );
    }
    if (value === "m") {
      throw new VireoError(
        `${where}: the kernel's own modules are not kept; write CONFIG_${name}=y`,
      );
    }
    return { name, value: value!, line: number };
  }
}

function lineOf({ name, value }: KconfigOption): string {
  return value === "n"
    ? `# CONFIG_${name} is not set`
    : `CONFIG_${name}=${value}`;
}
