/** The control socket's language takes any bytes: random ones, and requests with something changed. */
import assert from "node:assert/strict";
import { fuzzControl } from "./control.ts";

Deno.test("fuzz: control requests, 3,000 streams of bytes", async () => {
  const counts = await fuzzControl(1, 3000);
  // Some of them were requests that were carried out, most were not.
  assert.ok(counts.refused > 1000, JSON.stringify(counts));
  assert.ok(counts.done > 100, JSON.stringify(counts));
  assert.ok(counts.closed > 0, JSON.stringify(counts));
});
