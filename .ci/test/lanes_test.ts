import assert from "node:assert/strict";
import { batches } from "./lanes.ts";
import type { ChosenFile } from "./choose.ts";

function file(
  path: string,
  tests: number,
  prepared: string[] = [],
): ChosenFile {
  return { path, programs: [], prepared, tests };
}

Deno.test("lanes: what takes long has a process of its own and begins first", () => {
  const files = [
    file("a", 10),
    file("slow", 1),
    file("linux", 2, ["small"]),
    file("b", 55),
    file("c", 1),
  ];
  const all = batches(files, new Map([["slow", 40], ["a", 2], ["b", 1]]));
  assert.deepEqual(all.map(({ paths }) => paths), [
    ["slow"],
    ["linux"],
    ["a", "b"],
    ["c"],
  ]);
  assert.deepEqual(
    all.map(({ needsPrepared }) => needsPrepared),
    [false, true, false, false],
  );
});

Deno.test("lanes: what is known to be quick shares a process, with its like", () => {
  const files = [
    file("a", 10, ["small"]),
    file("b", 10),
    ...["c", "d", "e", "f", "g"].map((name) => file(name, 1, ["small"])),
  ];
  const seconds = new Map([..."abcdefg"].map((name) => [name, 4]));
  assert.deepEqual(
    batches(files, seconds).map(({ paths, needsPrepared }) => [
      paths.join(""),
      needsPrepared,
    ]),
    [["acde", true], ["fg", true], ["b", false]],
  );
});

Deno.test("lanes: who needs a process of its own has one", () => {
  const files = [file("a", 1), { ...file("b", 1), alone: true }, file("c", 1)];
  assert.deepEqual(
    batches(files, new Map()).map(({ paths }) => paths).toSorted(),
    [["a", "c"], ["b"]],
  );
});
