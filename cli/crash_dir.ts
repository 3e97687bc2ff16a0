/**
 * `--crash-dir`, of whatever runs a machine.
 *
 * @module
 */
import { VireoError } from "../ffi/error.ts";
import type { OptionRow } from "../vmm/devices/kind.ts";
import { didYouMean } from "../vmm/devices/words.ts";

const CORE = "core";
const SNAPSHOT = "snapshot";
const WORDS = [CORE, SNAPSHOT];
/** The option. */
export const CRASH_DIR: OptionRow = {
  flags: "--crash-dir <dir>",
  about: "keep there what a panic, triple fault or error leaves: registers, " +
    'console, events; ",core": memory for gdb; ",snapshot": all of it',
  words: WORDS,
};

/** Where crashes are kept, and how much of them. */
export interface CrashDirOption {
  /** A folder that is there. */
  folder: string;
  /** An ELF core, too. */
  core: boolean;
  /** A snapshot, too. */
  snapshot: boolean;
}

/**
 * What the option's value says; undefined without one.
 *
 * @throws {VireoError} it is no folder
 */
export function parseCrashDir(text?: string): CrashDirOption | undefined {
  if (text === undefined) return undefined;
  const refuse = (why: string) => new VireoError(`--crash-dir ${text}: ${why}`);
  // A comma in a path is written twice.
  const [folder = "", ...words] = text.replaceAll(",,", "\0").split(",")
    .map((word) => word.replaceAll("\0", ","));
  const unknown = words.find((word) => !WORDS.includes(word));
  if (unknown !== undefined) {
    const meant = didYouMean(unknown, WORDS);
    throw refuse(`unknown word "${unknown}"${meant}; DIR[,core][,snapshot]`);
  }
  try {
    if (Deno.statSync(folder).isDirectory) {
      const [core, snapshot] = WORDS.map((word) => words.includes(word));
      return { folder, core: core!, snapshot: snapshot! };
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
  }
  throw refuse("no such folder");
}
