/**
 * A program: nothing but as many workers as a machine of one vCPU has.
 *
 * @module
 */
const WORKERS = 2;
const workers = Array.from(
  { length: WORKERS },
  () =>
    new Worker(new URL("empty_worker.ts", import.meta.url), { type: "module" }),
);
await Promise.all(
  workers.map((worker) => new Promise((done) => worker.onmessage = done)),
);
console.log("ready");
workers.forEach((worker) => worker.terminate());
