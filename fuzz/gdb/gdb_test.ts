/** gdb's protocol takes any bytes: random ones, and packets with something changed. */
import assert from "node:assert/strict";
import { fuzzGdb } from "./gdb.ts";

Deno.test("fuzz: gdb's packets, 3,000 streams of bytes", async () => {
  const counts = await fuzzGdb(1, 3000);
  assert.ok(counts.answers > 3000, JSON.stringify(counts));
  assert.ok(counts.accesses > 1000, JSON.stringify(counts));
  assert.ok(counts.ended > 100, JSON.stringify(counts));
});
