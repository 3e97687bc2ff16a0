import assert from "node:assert/strict";
import { until } from "../../ffi/testing/until.ts";
import { PrepareLock } from "./lock.ts";

/** Output that is kept, of some width. */
function keep(columns?: number) {
  const written: string[] = [];
  return {
    written,
    write: (text: string) => void written.push(text),
    columns: () => columns,
  };
}

Deno.test("prepare lock: who waits is told how far the other is", async () => {
  const folder = await Deno.makeTempDir();
  const quiet = keep();
  const first = await PrepareLock.take(folder, quiet);
  assert.deepEqual(quiet.written, []);
  first.say("unpacking Linux: 100%, 2 min 50 s left");
  first.say("compiling Linux: 43%");
  const plain = keep();
  const terminal = keep(40);
  const second = PrepareLock.take(folder, plain);
  const third = PrepareLock.take(folder, terminal);
  const told = () => plain.written.length > 0 && terminal.written.length > 0;
  await until(told, "word from who waits");
  first[Symbol.dispose]();
  // Either may be first.
  const [one, other] = [second, third].map(async (lock) => {
    (await lock)[Symbol.dispose]();
  });
  await Promise.all([one, other]);
  assert.deepEqual(plain.written, [
    "waiting for another prepare: compiling Linux: 43%\n",
  ]);
  assert.equal(
    terminal.written[0],
    "\rwaiting for another prepare: compiling \x1b[K",
  );
  assert.equal(terminal.written.at(-1), "\r\x1b[K");
  await Deno.remove(folder, { recursive: true });
});
