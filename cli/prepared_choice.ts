/**
 * Which prepared kernel the command line asks for.
 *
 * @module
 */
import { VireoError } from "../ffi/error.ts";
import type { KernelVariant } from "../images/linux/cache.ts";
import { parseChoice } from "../vmm/devices/words.ts";
import { VARIANTS } from "./options.ts";

/** The command line's words. */
export interface PreparedWords {
  /** One of {@linkcode VARIANTS}. */
  variant?: string;
  /** A file with options of a `.config`. */
  kconfig?: string;
}

/** A prepared kernel. */
export interface PreparedChoice {
  variant: KernelVariant;
  kconfig?: string;
}

/**
 * What was chosen; undefined: nothing.
 *
 * @throws {VireoError} there is no such kernel, or it takes no options
 */
export function preparedChoice(
  { variant: word, kconfig }: PreparedWords,
): PreparedChoice | undefined {
  const variant = word === undefined
    ? undefined
    : parseChoice("--variant", word, VARIANTS);
  if (kconfig === undefined) return variant && { variant };
  if (variant === "research") return { variant, kconfig };
  throw new VireoError(
    `--kconfig ${kconfig}: only the research kernel takes options: ` +
      "--variant research",
  );
}
