/**
 * Fuzzes the API's HTTP parser: `deno task fuzz:http [COUNT [FIRST]]`.
 *
 * @module
 */
import { fuzzHttp } from "./http.ts";

const [count = 1_000_000, first = 1] = Deno.args.map(Number);
const start = performance.now();
const { requests, mistakes } = fuzzHttp(first, count);
const seconds = ((performance.now() - start) / 1000).toFixed(0);
console.log(
  `${count} inputs in ${seconds} s: ${requests} requests, ${mistakes} mistakes`,
);
