/**
 * Compares the RAM of two snapshots.
 *
 * @module
 */
import { checkWhole, type Found, read, telling } from "./folder.ts";
import { PAGE, sizeOf } from "../runs.ts";

/**
 * How much of the RAM of `b` is otherwise than in `a`; 0 where they differ in
 * size.
 *
 * @throws {VireoError} one of them is no snapshot, or a diff
 */
export function compareMemory(
  a: string,
  b: string,
): { pages: number; bytes: number } {
  using left = readWhole(a).snapshot;
  using right = readWhole(b).snapshot;
  if (left.memory.size !== right.memory.size) return { pages: 0, bytes: 0 };
  const bytes = sizeOf(right.memory.changesSince(left.memory));
  return { pages: bytes / PAGE, bytes };
}

function readWhole(folder: string): Found {
  const found = read(folder);
  try {
    telling(folder, () => checkWhole(found.stored));
    return found;
  } catch (error) {
    found.snapshot[Symbol.dispose]();
    throw error;
  }
}
