/** The adaptive polling window. */
import assert from "node:assert/strict";
import { PollWindow } from "./poll_window.ts";

Deno.test("PollWindow: 0 never polls", () => {
  assert.equal(new PollWindow(0).enabled, false);
});

Deno.test("PollWindow: grows to its limit while work comes soon", () => {
  const window = new PollWindow(50);
  assert.equal(window.enabled, true);
  assert.equal(window.milliseconds, 0);
  const sizes = [1, 2, 3, 4, 5].map(() => {
    window.woke(true, 0.005);
    return window.milliseconds;
  });
  assert.deepEqual(sizes, [0.01, 0.02, 0.04, 0.05, 0.05]);
});

Deno.test("PollWindow: closes, and rests, after polling in vain", () => {
  const window = new PollWindow(50);
  for (let i = 0; i < 4; i++) window.woke(true, 0.005);
  window.woke(false, 0.02); // 50 us polled, and work came right after
  assert.equal(window.milliseconds, 0);
  let sleeps = 0;
  while (window.milliseconds === 0) {
    window.woke(false, 0.02);
    sleeps++;
  }
  assert.equal(sleeps, 33);
});

Deno.test("PollWindow: each rest is longer than the one before", () => {
  const window = new PollWindow(50);
  const rests = [1, 2, 3].map(() => {
    window.woke(false, 0.005); // opens
    window.woke(false, 1); // in vain
    let sleeps = 0;
    for (; window.milliseconds === 0; sleeps++) window.woke(false, 0.02);
    window.woke(false, 1);
    return sleeps;
  });
  assert.ok(rests[0]! < rests[1]! && rests[1]! < rests[2]!, rests.join());
});

Deno.test("PollWindow: an idle guest costs no polling", () => {
  const window = new PollWindow(50);
  for (let i = 0; i < 100; i++) window.woke(false, 1000);
  assert.equal(window.milliseconds, 0);
});
