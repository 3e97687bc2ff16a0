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
    const [a, b] = [plain(typed), plain(word)];
    const distance = editDistance(a, b);
    // Half a word is no likeness: who writes "rw" does not mean "ro".
    if (distance >= Math.max(a.length, b.length) / 2) continue;
    if (distance < least) [best, least] = [word, distance];
  }
  // A third of the letters may be wrong.
  return least <= Math.max(1, typed.length / 3) ? best : undefined;
}

/**
 * Insertions, deletions, replacements, and neighbours that are exchanged, from
 * `a` to `b` (optimal string alignment).
 */
function editDistance(a: string, b: string): number {
  let above: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        next[j] = Math.min(next[j]!, above[j - 2]! + 1);
      }
    }
    [above, row] = [row, next];
  }
  return row[b.length]!;
}
