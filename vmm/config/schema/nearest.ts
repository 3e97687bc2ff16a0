/**
 * "Did you mean ...?"
 *
 * @module
 */

/** The word that `typed` was likely meant to be, or undefined. */
export function nearest(
  typed: string,
  words: readonly string[],
): string | undefined {
  const plain = (word: string) => word.toLowerCase().replace(/[-_ ]/g, "");
  let best: string | undefined;
  let least = Infinity;
  for (const word of words) {
    const distance = editDistance(plain(typed), plain(word));
    if (distance < least) [best, least] = [word, distance];
  }
  // A third of the letters may be wrong.
  return least <= Math.max(1, typed.length / 3) ? best : undefined;
}

/** Insertions, deletions and replacements from `a` to `b` (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
