/** The fuzzer's corpus, and a few new inputs for every device. */
import assert from "node:assert/strict";
import { Random } from "../../guest/testing/random.ts";
import { savedInputs } from "./corpus.ts";
import { runInput } from "./input.ts";
import type { Subject } from "./subject.ts";
import { SUBJECTS } from "./subjects.ts";

for (const { target, transport, seed, why } of savedInputs()) {
  Deno.test(`fuzz: ${target} over ${transport}, seed ${seed}: ${why ?? ""}`, () =>
    runInput(SUBJECTS[target]!, transport, seed));
}

const INPUTS = 60;
for (const name of Object.keys(SUBJECTS)) {
  for (const transport of ["mmio", "pci"] as const) {
    Deno.test(`fuzz: ${name} over ${transport}, ${INPUTS} inputs`, () => {
      for (let seed = 1; seed <= INPUTS; seed++) {
        runInput(SUBJECTS[name]!, transport, seed);
      }
    });
  }
}

Deno.test("fuzz: the same seed does the same again", () => {
  const choices = [1, 2].map(() => {
    const made: number[] = [];
    runInput(
      (memory, random) => {
        const subject = SUBJECTS.blk!(memory, random);
        const request = subject.request.bind(subject);
        return Object.assign(subject, {
          request(random: Random, index: number) {
            const parts = request(random, index);
            made.push(parts.length, random.below(1000));
            return parts;
          },
        });
      },
      "mmio",
      5,
    );
    return made;
  });
  assert.ok(choices[0]!.length > 10);
  assert.deepEqual(choices[0], choices[1]);
});

Deno.test("fuzz: a device that doesn't work any more is noticed", () => {
  const broken = (subject: Subject): Subject =>
    Object.assign(subject, {
      prove() {
        throw new Error("not proven");
      },
    });
  assert.throws(
    () => runInput((...args) => broken(SUBJECTS.rng!(...args)), "mmio", 1),
    /not proven/,
  );
});
