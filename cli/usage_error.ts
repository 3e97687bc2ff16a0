/**
 * What is said of a command line that can't be parsed: one line.
 *
 * @module
 */
import type { Command } from "commander";
import { nearest } from "../vmm/config/schema/nearest.ts";

/**
 * The parser's message as a line, with what was likely meant, or with where to
 * look.
 *
 * @param text the message, which may have its own suggestion in a second line
 * @param command the command whose arguments these are
 */
export function usageError(text: string, command: Command): string {
  const line = text.trim().replace(/^error/, "vireo").replace("\n", " ")
    .replace(/\.$/, "");
  const name = command.parent === null ? "" : ` ${command.name()}`;
  const [option, typed] = /.*unknown option '(--[^'=]+)[^']*'/.exec(line) ?? [];
  if (typed === undefined) {
    return line.endsWith("?)") ? line : `${line}; see "vireo help${name}"`;
  }
  // The parser's suggestions take --ram for --name.
  const meant = optionMeant(typed, command);
  if (meant !== undefined) return `${option} (Did you mean ${meant}?)`;
  return `${option}; see "vireo help${name}"`;
}

/** The parser's own suggestions also know neither `--memry=1G` nor `--cmd`. */
function optionMeant(typed: string, command: Command): string | undefined {
  const flags = command.createHelp().visibleOptions(command)
    .flatMap(({ long }) => long ?? []);
  const longer = flags.filter((flag) => flag.startsWith(typed));
  return longer.length === 1 ? longer[0] : nearest(typed, flags);
}
