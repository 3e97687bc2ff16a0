import assert from "node:assert/strict";
import { fits, readArguments, suiteOf } from "./arguments.ts";

Deno.test("task test: paths, a filter, and what deno test is to get", () => {
  const args = ["vmm/", "--filter", "Linux", "--fail-fast=2", "ffi/a_test.ts"];
  assert.deepEqual(readArguments(args), {
    paths: ["vmm/", "ffi/a_test.ts"],
    filter: "Linux",
    suite: "own",
    others: ["--fail-fast=2"],
  });
  assert.equal(readArguments(["--peers"]).suite, "peers");
  assert.equal(readArguments(["--research"]).suite, "research");
  assert.throws(() => readArguments(["--filter"]), /--filter: .* is missing/);
});

Deno.test("task test: a file's name says which suite it belongs to", () => {
  assert.equal(suiteOf("vmm/a_peer_test.ts"), "peers");
  assert.equal(suiteOf("vmm/a_research_test.ts"), "research");
  assert.equal(suiteOf("vmm/peer_test.ts"), "own");
});

Deno.test("task test: a filter is a part of a name, or an expression", () => {
  assert(fits("Linux: boots", undefined));
  assert(fits("Linux: boots", "x: b"));
  assert(!fits("Linux: boots", "^Linux"));
  assert(fits("Linux: boots", "/^Linux.*boots$/"));
  assert(!fits("Linux: boots", "/^boots/"));
});
