/**
 * Takes away from a try's changes what its finding doesn't need.
 *
 * @module
 */
import type { Change } from "./answers.ts";

/**
 * The least changes, as far as taking away and zeroing one after the other shows.
 *
 * @param fails whether a try with these changes finds the same
 * @param tries the most calls of that
 */
export function minimise(
  changes: readonly Change[],
  fails: (changes: Change[]) => boolean,
  tries = 256,
): Change[] {
  let least = changes.toSorted((a, b) => a.answer - b.answer);
  let left = tries;
  const improves = (next: Change[]): boolean => {
    if (left-- <= 0 || !fails(next)) return false;
    least = next;
    return true;
  };
  for (let before = -1; before !== size(least);) {
    before = size(least);
    for (let i = least.length - 1; i >= 0; i--) {
      if (!improves(least.toSpliced(i, 1))) shorten(i, least, improves);
    }
  }
  return least;
}

/** Bytes of one change, from its end and from its beginning; then zeros. */
function shorten(
  index: number,
  changes: Change[],
  improves: (next: Change[]) => boolean,
): void {
  let change = changes[index]!;
  const put = (next: Change): boolean => {
    if (!improves(changes.with(index, next))) return false;
    change = next;
    return true;
  };
  const { length } = change.bytes;
  for (let i = 0; i < length - 1; i++) {
    const { offset, bytes } = change;
    put({ ...change, bytes: bytes.slice(0, -1) }) ||
      put({ ...change, offset: offset + 1, bytes: bytes.slice(1) });
  }
  change.bytes.forEach((byte, i) => {
    if (byte !== 0) put({ ...change, bytes: change.bytes.with(i, 0) });
  });
}

function size(changes: readonly Change[]): number {
  return changes.reduce(
    (sum, { bytes }) =>
      sum + 1000 + 10 * bytes.length +
      bytes.filter((byte) => byte !== 0).length,
    0,
  );
}
