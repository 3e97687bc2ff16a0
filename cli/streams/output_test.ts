/** Output to readers of all kinds, without a process. */
import assert from "node:assert/strict";
import { Output } from "./output.ts";

const text = (chunks: Uint8Array[]) =>
  chunks.map((bytes) => new TextDecoder().decode(bytes)).join("");

Deno.test("Output: what isn't taken waits, its writer is told, and order is kept", async () => {
  const written: Uint8Array[] = [];
  let ready = Promise.withResolvers<number>();
  const output = new Output(async (bytes) => {
    const count = Math.min(await ready.promise, bytes.length);
    written.push(bytes.slice(0, count));
    return count;
  });
  const lines = Array.from({ length: 10_000 }, (_, i) => `line ${i}`);
  for (const line of lines) output.print(line);
  assert.ok(output.full);
  output.note("this may be left out");
  let room = false;
  const waits = output.room().then(() => room = true);
  await new Promise((done) => setTimeout(done));
  assert.equal(room, false);
  ready.resolve(10_000);
  await waits;
  assert.equal(output.full, false);
  ready = Promise.withResolvers();
  ready.resolve(1000);
  output.write("more");
  await output.flushed();
  assert.equal(
    text(written),
    lines.map((line) => `${line}\n`).join("") + "more",
  );
});

Deno.test("Output: a failure costs what was to be written, and is told; the rest is tried", async () => {
  const written: Uint8Array[] = [];
  let fails = true;
  const output = new Output((bytes) => {
    if (fails) return Promise.reject(new Error("no room"));
    written.push(bytes.slice());
    return Promise.resolve(bytes.length);
  });
  const told: string[] = [];
  output.onFailure = ({ message }) => told.push(message);
  output.write("lost");
  await output.flushed();
  assert.deepEqual(told, ["no room"]);
  fails = false;
  output.write("kept");
  await output.flushed();
  assert.equal(text(written), "kept");
});
