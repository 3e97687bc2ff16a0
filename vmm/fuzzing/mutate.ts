/**
 * Makes a try's changes of another's.
 *
 * @module
 */
import type { Answer, Change } from "./answers.ts";
import type { Random } from "./random.ts";

/** A try that has shown something new: others are made of it. */
export interface Seed {
  /** Its changes; the first of a corpus has none. */
  readonly changes: readonly Change[];
  /** What was answered then. */
  readonly answers: readonly Answer[];
}

/**
 * Makes changes by chance: by `random` alone, so that a seed makes the same tries
 * again.
 */
export type Mutator = (seed: Seed, random: Random) => Change[];

/** Numbers that drivers get wrong, as they stand in 8 bytes. */
const INTERESTING = [
  0n,
  1n,
  2n,
  0x7fn,
  0x80n,
  0xffn,
  0x100n,
  0x1ffn,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x1_0000n,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_fffen,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x7fff_ffff_ffff_ffffn,
  0xffff_ffff_ffff_ffffn,
].map((value) => new Uint8Array(BigUint64Array.of(value).buffer));

const WIDTHS = [1, 1, 2, 4, 4, 8];
/** The most changes that one mutation adds. */
const ADDED = 3;
/** So far into a buffer is where most of what matters is. */
const HEAD = 64;

/** What has shown something new last may lead on: it has its turn more often. */
const NEWEST = 3;

/** The one that the next try is made of. */
export function next(corpus: readonly Seed[], random: Random): Seed {
  return random.below(2) === 0
    ? corpus.at(-1 - random.below(Math.min(NEWEST, corpus.length)))!
    : random.of(corpus);
}

/** Adds changes, alters one, or takes one back. */
export function mutate({ changes, answers }: Seed, random: Random): Change[] {
  const result = changes.map((change) => ({ ...change }));
  const dice = random.below(10);
  if (result.length > 0 && dice < 2) {
    result.splice(random.below(result.length), 1);
  } else if (result.length > 0 && dice < 5) {
    const change = random.of(result);
    Object.assign(change, changeOf(change.answer, answers, random));
  } else {
    for (let more = 1 + random.below(ADDED); more > 0; more--) {
      const answer = chosen(answers, random);
      result.push(changeOf(answer, answers, random));
    }
  }
  return result;
}

/** Few of a virtio device's answers are in memory, and most of what it says. */
function chosen(answers: readonly Answer[], random: Random): number {
  const inMemory = answers.flatMap(({ kind }, i) =>
    kind === "register" ? [] : [i]
  );
  return inMemory.length > 0 && random.below(2) === 0
    ? random.of(inMemory)
    : random.below(Math.max(1, answers.length));
}

function changeOf(
  answer: number,
  answers: readonly Answer[],
  random: Random,
): Change {
  const size = answers[answer]?.size ?? 4;
  const width = Math.min(size, random.of(WIDTHS));
  const places = Math.floor(size / width);
  const dice = random.below(4);
  // A status is often the last byte.
  const offset = dice === 0
    ? size - width
    : width * random.below(dice === 1 ? places : Math.min(places, HEAD));
  const bytes = random.below(3) === 0
    ? Array.from({ length: width }, () => random.below(256))
    : [...random.of(INTERESTING).subarray(0, width)];
  return { answer, offset, bytes };
}
