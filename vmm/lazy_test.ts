/** What is left of a start is let go of when a machine has run for a while. */
import assert from "node:assert/strict";
import { ALONE, needing } from "../ffi/testing/needs.ts";
import { readProgram, residentProgram, SCAN } from "../ffi/testing/program.ts";
import { until } from "../ffi/testing/until.ts";
import { settle } from "./lazy.ts";

Deno.test(needing([SCAN, ALONE], {
  name: "settle: a machine that runs lets go of the program, one that ends not",
  async fn() {
    readProgram();
    const before = residentProgram();
    const ended = Promise.resolve();
    settle(ended, 1);
    await new Promise((done) => setTimeout(done, 20));
    assert.ok(residentProgram() > before / 2, "it has ended before");
    const running = Promise.withResolvers<void>();
    settle(running.promise, 1);
    await until(
      () => residentProgram() < before / 2,
      "less of the program in memory",
      () => `${before} KiB, then ${residentProgram()}`,
    );
    running.resolve();
  },
}));
