/**
 * `vireo completion`: what makes a shell complete this command line.
 *
 * @module
 */
import type { Command } from "commander";
import { parseChoice } from "../../vmm/devices/words.ts";
import { bashScript } from "./bash.ts";
import { commandWords, SHELLS } from "./words.ts";
import { zshScript } from "./zsh.ts";

/**
 * A shell's script, made of all commands and options.
 *
 * @param vireo the command line
 * @param shell one of {@linkcode SHELLS}
 * @throws {VireoError} it is none of them
 */
export function completion(vireo: Command, shell: string): string {
  const name = parseChoice("completion", shell, SHELLS);
  const words = commandWords(vireo);
  return name === "bash" ? bashScript(words) : zshScript(words);
}
