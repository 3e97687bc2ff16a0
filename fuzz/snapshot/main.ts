/**
 * Fuzzes the state of snapshots: `deno task fuzz:snapshot [COUNT [FIRST]]`.
 *
 * @module
 */
import { savedFolder } from "./saved_folder.ts";
import { fuzzStates } from "./state.ts";

const [count = 100_000, first = 1] = Deno.args.map(Number);
using folder = await savedFolder();
const start = performance.now();
const { opened, refused } = fuzzStates(folder.path, first, count);
const seconds = ((performance.now() - start) / 1000).toFixed(0);
console.log(
  `${count} states in ${seconds} s: ${opened} opened, all others refused in ` +
    `one of ${refused.size} lines`,
);
