/** The adaptive polling window. */
import assert from "node:assert/strict";
import { PollWindow } from "./poll_window.ts";

const SOON = 0.02, LATER = 1; // milliseconds, below and above the 50 us

/** Sleeps until the window opens; the number of sleeps. */
function sleepsUntilOpen(window: PollWindow): number {
  let sleeps = 0;
  for (; window.milliseconds === 0; sleeps++) window.woke(false, SOON);
  return sleeps;
}

Deno.test("PollWindow: 0 never polls", () => {
  const window = new PollWindow(0);
  assert.equal(window.enabled, false);
  window.woke(false, SOON);
  assert.equal(window.milliseconds, 0);
});

Deno.test("PollWindow: opens when work comes soon, closes when it doesn't", () => {
  const window = new PollWindow(50);
  assert.equal(window.enabled, true);
  assert.equal(window.milliseconds, 0);
  window.woke(false, SOON);
  assert.equal(window.milliseconds, 0.05);
  window.woke(true, SOON);
  assert.equal(window.milliseconds, 0.05);
  window.woke(true, LATER);
  assert.equal(window.milliseconds, 0);
  assert.equal(sleepsUntilOpen(window), 1);
});

Deno.test("PollWindow: rests after three windows in vain in a row", () => {
  const window = new PollWindow(50);
  sleepsUntilOpen(window);
  for (const hit of [false, false, true, false, false]) {
    window.woke(hit, SOON);
    assert.equal(window.milliseconds, 0.05);
  }
  window.woke(false, SOON);
  assert.equal(window.milliseconds, 0);
  assert.equal(sleepsUntilOpen(window), 33);
});

Deno.test("PollWindow: rests, too, when what it looks for always takes longer", () => {
  const window = new PollWindow(50);
  // A request comes soon after the last answer; its answer takes the disk long.
  for (let request = 0; request < 3; request++) {
    window.woke(false, SOON);
    assert.equal(window.milliseconds, 0.05);
    window.woke(false, LATER);
    assert.equal(window.milliseconds, 0);
  }
  assert.equal(sleepsUntilOpen(window), 33);
  // A hit between them is worth the others.
  for (let request = 0; request < 10; request++) {
    window.woke(request % 2 === 0, LATER);
    assert.equal(window.milliseconds, 0);
    assert.equal(sleepsUntilOpen(window), 1);
  }
});

Deno.test("PollWindow: each rest is longer than the one before", () => {
  const window = new PollWindow(50);
  const rests = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map(() => {
    const sleeps = sleepsUntilOpen(window);
    for (let i = 0; i < 3; i++) window.woke(false, SOON);
    return sleeps;
  });
  assert.deepEqual(
    rests,
    [1, 33, 65, 129, 257, 513, 1025, 2049, 4097, 4097],
  );
});

Deno.test("PollWindow: an idle guest costs no polling", () => {
  const window = new PollWindow(50);
  for (let i = 0; i < 100; i++) window.woke(false, LATER);
  assert.equal(window.milliseconds, 0);
});
