/**
 * What a fuzzer is given by its caller, or by a file of the caller's, is looked
 * at before it is used.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import type { Change } from "./answers.ts";

/**
 * Limits and the like, each with the name that it has.
 *
 * @throws {VireoError} one is no number from 0 on
 */
export function checkNumbers(numbers: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(numbers)) {
    if (value === undefined || typeof value === "number" && value >= 0) {
      continue;
    }
    throw new VireoError(`fuzz: ${name}: ${value} is no number from 0 on`);
  }
}

/**
 * Changes of answers, as they stand in a file, or as a mutator makes them.
 *
 * @throws {VireoError} they are none
 */
export function checkChanges(changes: readonly Change[]): void {
  if (!Array.isArray(changes)) {
    throw new VireoError("fuzz: changes are a list");
  }
  const wrong = changes.findIndex((change: Change | null) =>
    !isIndex(change?.answer) || !isIndex(change?.offset) ||
    !Array.isArray(change?.bytes) ||
    !change.bytes.every((byte: unknown) => isIndex(byte) && byte <= 0xff)
  );
  if (wrong < 0) return;
  throw new VireoError(
    `fuzz: change ${wrong} has no whole answer and offset, and bytes`,
  );
}

function isIndex(value: unknown): value is number {
  return Number.isSafeInteger(value) && value as number >= 0;
}
