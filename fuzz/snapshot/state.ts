/**
 * Snapshots whose `state.json` is another one than was saved. Whatever it says,
 * it is refused in one line, or is a state of the right kinds of values; and
 * nothing is opened but what is in the folder.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { VireoError } from "../../ffi/error.ts";
import { Random } from "../../guest/testing/random.ts";
import { openFolder } from "../../vmm/snapshot/on_disk/folder.ts";
import { checkGiven } from "../../vmm/snapshot/trust.ts";
import type { More } from "../campaign.ts";

/** What became of the states. */
export interface Counts {
  /** They were opened. */
  opened: number;
  /** What the others were refused with, but for numbers. */
  refused: Set<string>;
}

/** In the place of anything. */
const ODD: readonly unknown[] = [
  ...[0, 1, -1, 1.5, 7, 0xffff, 2 ** 31, 2 ** 32, 2 ** 53, 1e300, null, true],
  ...["", "7", "0x1", "0xfffffffffffffffff", "AAAA", "../../etc/shadow"],
  ...["/etc/shadow", "memory-", "x".repeat(5000), [], {}, [[]], [0, "0x0"]],
];
const STATE = "state.json";
const STATE_KEYS = ["format", "saved", "origin", "home", "memory", "machine"];

/**
 * Reads a snapshot with changes of its state, one after the other, from `first`
 * on, until `more` says no.
 *
 * @param folder with a snapshot, whose state is the last change afterwards
 */
export function fuzzStates(
  folder: string,
  first: number,
  more: More,
): Counts {
  const path = `${folder}/${STATE}`;
  const good = Deno.readTextFileSync(path);
  const counts: Counts = { opened: 0, refused: new Set() };
  for (let seed = first; more(seed - first); seed++) {
    try {
      Deno.writeTextFileSync(path, changed(new Random(seed), good));
      const line = tried(folder);
      if (line === undefined) counts.opened++;
      else counts.refused.add(line.replaceAll(/\d+/g, "N"));
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
  return counts;
}

/** What it is refused with. */
function tried(folder: string): string | undefined {
  try {
    using opened = openFolder(folder);
    // Whatever it names is asked for, in a line.
    refusal(() => checkGiven(opened.snapshot.state, {}, false));
    return undefined;
  } catch (error) {
    return refusal(() => {
      throw error;
    });
  }
}

/** What `action` is refused with, which is one line. */
function refusal(action: () => void): string | undefined {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof VireoError, (error as Error).stack);
    assert.match(error.message, /^[^\n]{1,12000}$/);
    return error.message;
  }
}

function changed(random: Random, good: string): string {
  if (random.oneIn(10)) return spoiled(random, good);
  const { sha256: _, ...content } = JSON.parse(good);
  for (let times = 1 + random.below(3); times > 0; times--) {
    mutate(random, content, random.of(STATE_KEYS));
  }
  const sha256 = createHash("sha256").update(JSON.stringify(content))
    .digest("hex");
  const all = { ...content, sha256: random.oneIn(20) ? "0" : sha256 };
  return JSON.stringify(all);
}

/** The value at `key`, or somewhere in it, is another one. */
function mutate(
  random: Random,
  parent: Record<string, unknown>,
  key: string,
): void {
  const value = parent[key];
  const keys = typeof value === "object" && value !== null
    ? Object.keys(value)
    : [];
  if (keys.length > 0 && !random.oneIn(12)) {
    return mutate(random, value as Record<string, unknown>, random.of(keys));
  }
  switch (random.below(12)) {
    case 0:
      delete parent[key];
      break;
    case 1:
      parent["more"] = 7;
      break;
    default:
      parent[key] = structuredClone(
        random.of([...ODD, near(random, value)]),
      );
  }
}

/** Another value of the same kind. */
function near(random: Random, value: unknown): unknown {
  if (typeof value === "number") return value ^ 1 << random.below(31);
  if (typeof value !== "string" || value === "") return value;
  const at = random.below(value.length);
  return value.slice(0, at) + random.of([..."0aAz/=+"]) + value.slice(at + 1);
}

/** The same text, cut, or with other bytes. */
function spoiled(random: Random, text: string): string {
  const at = random.below(text.length);
  if (random.oneIn(3)) return text.slice(0, at);
  const byte = String.fromCharCode(random.below(128));
  return text.slice(0, at) + byte + text.slice(at + 1);
}
