import assert from "node:assert/strict";
import { EVENT_DOUBLES, EVENTS_KEPT, Recorder } from "./recorder.ts";

Deno.test("recorder: who sees an event's number sees all of it", async () => {
  const page = Recorder.create(1);
  const recorder = new Recorder(page);
  recorder.wanted = 1;
  const url = new URL("./testing/recording.ts", import.meta.url);
  const worker = new Worker(url, { type: "module" });
  const ended = new Promise<number>((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => reject(new Error(event.message));
  });
  worker.postMessage(page);
  const { events } = recorder;
  const values = new Float64Array(EVENT_DOUBLES);
  let looks = 0;
  for (let last = 0; looks < 20_000;) {
    const head = recorder.head;
    if (head === last) {
      await new Promise((resolve) => setTimeout(resolve)); // a core is scarce
      continue;
    }
    last = head;
    const at = (head - 1) % EVENTS_KEPT * EVENT_DOUBLES;
    for (let i = EVENT_DOUBLES - 1; i >= 0; i--) values[i] = events[at + i]!;
    // It may have been overwritten meanwhile.
    if (recorder.head - head >= EVENTS_KEPT - 1) continue;
    looks++;
    for (const value of values) assert.equal(value, head - 1);
  }
  recorder.wanted = 0;
  assert.equal(await ended, recorder.head);
});

Deno.test("recorder: its time is the host's, and goes on", () => {
  const recorder = new Recorder(Recorder.create(1));
  const [since = ""] = Deno.readTextFileSync("/proc/uptime").split(" ");
  const before = recorder.now();
  const now = recorder.now();
  assert.ok(now >= before);
  // Up to here: what the host slept is in the uptime only.
  assert.ok(before > 0 && before / 1e9 < Number(since) + 600);
});
