/**
 * A program with nothing but workers: their number is its argument.
 *
 * @module
 */
const EMPTY = new URL("../paths/empty_worker.ts", import.meta.url);
const begun = Array.from({ length: Number(Deno.args[0]) }, () => {
  const worker = new Worker(EMPTY, { type: "module" });
  return new Promise((done) => worker.onmessage = done);
});
await Promise.all(begun);
console.log("ready");
setInterval(() => {}, 60_000);
