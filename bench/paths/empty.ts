/**
 * A program that starts as many workers as its argument says, and prints a
 * line when all of them are there. With `stay` behind it, it goes on.
 *
 * @module
 */
const workers = Array.from(
  { length: Number(Deno.args[0]) },
  () =>
    new Worker(new URL("empty_worker.ts", import.meta.url), { type: "module" }),
);
await Promise.all(
  workers.map((worker) => new Promise((done) => worker.onmessage = done)),
);
console.log("ready");
if (Deno.args[1] !== "stay") workers.forEach((worker) => worker.terminate());
