/**
 * What a machine may be called.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";

/** Unlike a process's number. */
const NAME = /^(?!\d+(\.\d+)?$)[\w.-]{1,64}$/;

/**
 * Checks a name.
 *
 * @param where it was given
 * @throws {VireoError} a machine can't be called that
 */
export function checkName(name: string, where: string): void {
  if (NAME.test(name)) return;
  throw new VireoError(
    `${where} ${JSON.stringify(name).slice(0, 80)}: a machine's has 1 to 64 ` +
      "letters, digits, dots, underscores and hyphens, and is no number",
  );
}
