/**
 * Random calls of the API beside a guest: `deno task fuzz:api [SECONDS [SEED]]`.
 *
 * @module
 */
import { randomCalls } from "./calls.ts";

const [seconds = 600, seed = Date.now() % 1_000_000] = Deno.args.map(Number);
const end = performance.now() + seconds * 1000;
let count = 0;
const statuses = await randomCalls(seed, (calls) => {
  count = calls;
  return performance.now() < end;
});
console.log(`seed ${seed}: ${count} calls, by status`, statuses);
