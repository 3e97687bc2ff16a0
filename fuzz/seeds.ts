/**
 * Seeds, one after the other.
 *
 * @module
 */
import { Random } from "../guest/testing/random.ts";

/**
 * Calls `run` for `count` seeds from `first` on.
 *
 * @throws {Error} which seed it was, with what `run` threw as its cause
 */
export async function eachSeed(
  first: number,
  count: number,
  run: (random: Random) => Promise<void>,
): Promise<void> {
  for (let seed = first; seed < first + count; seed++) {
    try {
      await run(new Random(seed));
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
}
