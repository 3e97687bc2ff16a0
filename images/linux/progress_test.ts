import assert from "node:assert/strict";
import {
  formatDuration,
  Progress,
  progressLine,
  timeLeft,
} from "./progress.ts";

const STEPS = [{ label: "first", weight: 10 }, { label: "second", weight: 90 }];

/** Progress on output of some width, at times that the test chooses. */
function makeProgress(columns: number | undefined) {
  const clock = { now: 0 };
  const written: string[] = [];
  const output = {
    write: (text: string) => void written.push(text),
    columns: () => columns,
  };
  return {
    clock,
    written,
    progress: new Progress(STEPS, output, () => clock.now),
  };
}

Deno.test("progress: the rest takes as long as the part that is done", () => {
  assert.equal(timeLeft(1000, 0.5), 1000);
  assert.equal(timeLeft(1000, 0.2), 4000);
  assert.equal(timeLeft(1000, 1.1), 0);
});

Deno.test("progress: there is no estimate at the beginning", () => {
  assert.equal(timeLeft(1000, 0), undefined);
  assert.equal(timeLeft(1000, 0.02), undefined);
});

Deno.test("progress: durations are exact only when short", () => {
  assert.equal(formatDuration(0), "0 s");
  assert.equal(formatDuration(11_100), "12 s");
  assert.equal(formatDuration(99_000), "99 s");
  assert.equal(formatDuration(129_000), "2 min 0 s");
  assert.equal(formatDuration(250_000), "4 min 10 s");
});

Deno.test("progress: a line fits any terminal", () => {
  for (let columns = 1; columns < 200; columns++) {
    const line = progressLine("compiling Linux", 0.4, 123_456, columns);
    assert(line.length < columns);
  }
});

Deno.test("progress: a terminal's line has bar, percentage and time left", () => {
  assert.equal(
    progressLine("compiling Linux", 0.5, 60_000, 80),
    "compiling Linux      [################................]  50%, 60 s left",
  );
});

Deno.test("progress: steps count by their weights", () => {
  const { progress } = makeProgress(undefined);
  progress.begin("first");
  assert.equal(progress.fraction, 0);
  progress.update(0.5);
  assert.equal(progress.fraction, 0.05);
  progress.begin("second");
  assert.equal(progress.fraction, 0.1);
  progress.update(2);
  assert.equal(progress.fraction, 1);
});

Deno.test("progress: a log file gets a line every ten seconds", () => {
  const { progress, clock, written } = makeProgress(undefined);
  progress.begin("first");
  for (; clock.now < 25_000; clock.now += 100) progress.update(0.5);
  progress.end();
  assert.deepEqual(written, [
    "first: 0%\n",
    "first: 5%, 3 min 10 s left\n",
    "first: 5%, 6 min 20 s left\n",
  ]);
});

Deno.test("progress: a terminal has one line, which goes away", () => {
  const { progress, clock, written } = makeProgress(80);
  progress.begin("first");
  clock.now = 50;
  progress.update(0.1);
  assert.equal(written.length, 1, "too soon for another");
  clock.now = 150;
  progress.update(0.2);
  progress.end();
  assert.equal(written.length, 3);
  assert(written.every((text) => text.startsWith("\r")));
  assert(!written.join("").includes("\n"));
  assert.equal(written.at(-1), "\r\x1b[K");
});
