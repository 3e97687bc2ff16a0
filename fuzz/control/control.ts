/**
 * Streams of bytes for the control socket, and what must hold whatever they
 * are: each line has one answer, which is one line, and the machine is asked
 * for nothing but what a right request says.
 *
 * @module
 */
import assert from "node:assert/strict";

import type { Random } from "../../guest/testing/random.ts";
import { eachSeed } from "../seeds.ts";
import {
  answerTo,
  LINE_MAX,
  Lines,
  METHOD_NAMES,
} from "../../vmm/controller/requests.ts";
import { MockMachine } from "../../vmm/controller/testing/mock_machine.ts";

/** What became of the lines. */
export interface Counts {
  /** Requests that were carried out. */
  done: number;
  /** Lines that were told what is wrong with them. */
  refused: number;
  /** Streams that ended by an endless line. */
  closed: number;
}

/** Values where others are expected. */
const VALUES = [
  ...["null", "true", "-1", "1e999", '""', "[]", "{}", '"/f"', '"a\\u0000"'],
  ...['"\\ud800"', "9007199254740993", '{"__proto__":{"folder":"/x"}}'],
  ...["[".repeat(2000), '{"a":'.repeat(1000), `"${"x".repeat(3000)}"`],
];
const encoder = new TextEncoder();

/** Runs the streams of `count` seeds from `first` on. */
export async function fuzzControl(
  first: number,
  count: number,
): Promise<Counts> {
  const counts: Counts = { done: 0, refused: 0, closed: 0 };
  await eachSeed(first, count, (random) => runStream(random, counts));
  return counts;
}

async function runStream(random: Random, counts: Counts): Promise<void> {
  const machine = new MockMachine();
  const lines = new Lines();
  const stream = encoder.encode(
    Array.from({ length: 1 + random.below(4) }, () => line(random)).join(""),
  );
  corrupt(random, stream);
  for (let at = 0; at < stream.length;) {
    const most = Math.min(lines.room.length, stream.length - at);
    const chunk = stream.subarray(at, at + 1 + random.below(most));
    lines.room.set(chunk);
    lines.took(chunk.length);
    at += chunk.length;
    try {
      for (let next; (next = lines.next()) !== undefined;) {
        await check(machine, next, counts);
      }
    } catch (error) {
      if (!/a line has at most/.test((error as Error).message)) throw error;
      counts.closed++;
      break;
    }
  }
  for (const asked of machine.asked) {
    assert.match(
      asked,
      /^(pause|resume|power button|snapshot|gdb|(?:save|dump) \/[^]*)$/,
    );
  }
}

async function check(
  machine: MockMachine,
  line: Uint8Array,
  counts: Counts,
): Promise<void> {
  const text = await answerTo(machine.controller, line);
  assert.ok(!text.includes("\n") && text.length < 4 * LINE_MAX, text);
  const answer = JSON.parse(text);
  assert.equal("result" in answer, !("error" in answer), text);
  if ("result" in answer) counts.done++;
  else counts.refused++;
}

/** A request, or something like one. */
function line(random: Random): string {
  if (random.oneIn(50)) return "x".repeat(random.below(2 * LINE_MAX));
  const value = () => random.of(VALUES);
  const name = () => JSON.stringify(random.of(METHOD_NAMES));
  const params = random.oneIn(2)
    ? `{"folder":${random.oneIn(3) ? value() : '"/f"'}}`
    : value();
  const parts = [`"method":${random.oneIn(6) ? value() : name()}`];
  if (random.oneIn(2)) parts.push(`"params":${params}`);
  if (random.oneIn(2)) parts.push(`"id":${random.oneIn(3) ? value() : "7"}`);
  if (random.oneIn(8)) parts.push(`${JSON.stringify("k")}:${value()}`);
  return `{${parts.join(",")}}\n`;
}

/** Changes a few bytes of every other stream. */
function corrupt(random: Random, stream: Uint8Array): void {
  if (random.oneIn(2)) return;
  for (let i = random.below(4); i >= 0; i--) {
    stream[random.below(stream.length)] = random.below(256);
  }
}
