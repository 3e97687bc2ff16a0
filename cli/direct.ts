/**
 * Command lines that are right at the first glance. The parser of all others,
 * with what it uses of Node's, takes 20 ms to load.
 *
 * @module
 */
import type { OptionRow } from "../vmm/devices/kind.ts";
import { COMMANDS, type DirectCommand } from "./commands.ts";

/** What a command line says. */
export interface Parsed {
  /** Beside the options. */
  words: string[];
  /** By their names; what isn't given has its default. */
  options: Record<string, unknown>;
}

/**
 * Carries a command line out; undefined: it is for the parser, which gives help,
 * says what is wrong, and knows every way to write an option.
 *
 * @param args as of a process, after `foldEvents`
 * @returns the exit status
 * @throws {VireoError} what the command throws
 */
export async function runDirectly(
  [name = "", ...words]: readonly string[],
): Promise<number | undefined> {
  if (!Object.hasOwn(COMMANDS, name)) return undefined;
  const command = COMMANDS[name as keyof typeof COMMANDS] as DirectCommand;
  const parsed = parseDirectly(words, await command.rows(), command);
  return parsed && await command.run(parsed.words, parsed.options);
}

/** What a command's words say; undefined: they are for the parser. */
export function parseDirectly(
  args: readonly string[],
  rows: readonly OptionRow[],
  { takes: [least, most], passesOn }: Pick<DirectCommand, "takes" | "passesOn">,
): Parsed | undefined {
  const known = new Map(rows.map((row) => [longOf(row), row]));
  const options: Parsed["options"] = {};
  for (const [flag, row] of known) {
    const start = row.repeatable ? [] : isNo(flag) ? true : row.default;
    if (start !== undefined) options[nameOf(flag)] = start;
  }
  const words: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (!arg.startsWith("-") || passesOn && words.length > 0) {
      words.push(arg);
      continue;
    }
    const [, flag = "", inner] = /^(--[\w-]+)(?:=(.+))?$/s.exec(arg) ?? [];
    const row = known.get(flag);
    // A value that may be left out is the parser's.
    if (row === undefined || row.flags.includes("[")) return undefined;
    if (!row.flags.includes("<")) {
      if (inner !== undefined) return undefined;
      options[nameOf(flag)] = !isNo(flag);
      continue;
    }
    const value = inner ?? args[++i] ?? "-";
    if (value === "" || inner === undefined && value[0] === "-") {
      return undefined;
    }
    const before = options[nameOf(flag)];
    options[nameOf(flag)] = row.repeatable
      ? [...before as string[], value]
      : value;
  }
  const right = words.length >= least && words.length <= most;
  return right ? { words, options } : undefined;
}

/** `--tty` of `-t, --tty`. */
function longOf({ flags }: OptionRow): string {
  return /--[\w-]+/.exec(flags)![0];
}

function isNo(flag: string): boolean {
  return flag.startsWith("--no-");
}

/** `snapshotOn` of `--snapshot-on`. */
function nameOf(flag: string): string {
  return flag.replace(/^--(no-)?/, "")
    .replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}
