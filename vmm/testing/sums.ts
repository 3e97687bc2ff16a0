/**
 * For tests: a shell in a guest adds numbers up, for ever, and can be asked how
 * far it is.
 *
 * @module
 */
import assert from "node:assert/strict";

/** Somebody who can be given a command: what it prints. */
export interface Shell {
  run(command: string): Promise<string>;
}

/** Writes how far it is, and the sum of all numbers until there, for ever. */
export const SUMS = "awk 'BEGIN { for (i = 1;; i++) { s += i; " +
  'if (i % 100000 == 0) { print i, s, i > "/run/sum"; close("/run/sum") } } }\' & true';

/**
 * A function of the shell, since each typed byte costs the guest a thousand
 * instructions. It prints what is in a file without a process of its own; that
 * begins and ends with the same number, if it was not written meanwhile.
 */
export const NUMBERS = "n() { a=; until { read a b c < $1; } 2> /dev/null && " +
  '[ "$a" ] && [ "$a" = "$c" ]; do :; done; echo $a $b; }';

/** The sum that a guest has is right; how far it is. */
export async function sum(guest: Shell): Promise<number> {
  const line = await guest.run("n /run/sum");
  const [count, total] = line.split(" ").map(Number);
  assert.equal(total, count! * (count! + 1) / 2, line);
  return count!;
}
