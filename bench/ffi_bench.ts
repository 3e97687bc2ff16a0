/**
 * What calls into libc and accesses to memory outside the heap cost: the
 * figures behind the rules in docs/architecture.md.
 *
 *     deno bench -A bench/ffi_bench.ts
 *
 * @module
 */
import { Mapping } from "../ffi/memory/mmap.ts";

// C functions that do nearly nothing, each with the type that is measured.
const library = Deno.dlopen("libc.so.6", {
  abs: { parameters: ["i32"], result: "i32" },
  llabs: { parameters: ["i64"], result: "i32" },
  buffer: { name: "strnlen", parameters: ["buffer", "u32"], result: "i32" },
  pointer: { name: "strnlen", parameters: ["pointer", "u32"], result: "i32" },
  slow: { name: "abs", parameters: ["i32"], result: "i32", nonblocking: true },
  // With a struct Deno compiles no trampoline; abs doesn't see it.
  rare: {
    name: "abs",
    parameters: ["i32", { struct: ["u8"] }],
    result: "i32",
  },
});
const c = library.symbols;

const mapping = new Mapping(4096);
const u32 = new Uint32Array(mapping.buffer);
const view = new DataView(mapping.buffer);
const bytes = new Uint8Array(mapping.buffer, 0, 64);
const unseen = new Uint8Array(1);
const wide = 7n;
let number = 7;

Deno.bench("call: i32", { group: "call", baseline: true }, () => {
  c.abs(7);
});

Deno.bench("call: i64 from a bigint made once", { group: "call" }, () => {
  c.llabs(wide);
});

Deno.bench("call: i64 from a number", { group: "call" }, () => {
  // What BigInt(n) at each call amounts to; types forbid the number itself.
  c.llabs(number++ as unknown as bigint);
});

Deno.bench("call: pointer", { group: "call" }, () => {
  c.pointer(mapping.pointer, 1);
});

Deno.bench("call: buffer", { group: "call" }, () => {
  c.buffer(bytes, 1);
});

Deno.bench("call: i32, without a trampoline", { group: "call" }, () => {
  c.rare(7, unseen);
});

Deno.bench("call: nonblocking", { group: "call" }, async () => {
  await c.slow(7);
});

Deno.bench("look-up: i32", { group: "look-up", baseline: true }, () => {
  Deno.dlopen("libc.so.6", { abs: { parameters: ["i32"], result: "i32" } });
});

Deno.bench("look-up: buffer", { group: "look-up" }, () => {
  Deno.dlopen("libc.so.6", {
    strnlen: { parameters: ["buffer", "u32"], result: "i32" },
  });
});

Deno.bench("look-up: without a trampoline", { group: "look-up" }, () => {
  Deno.dlopen("libc.so.6", {
    abs: { parameters: ["i32", { struct: ["u8"] }], result: "i32" },
  });
});

// A thousand per iteration: one alone is below what a clock can tell.
const TIMES = 1000;

Deno.bench(
  "1000 loads: Uint32Array",
  { group: "memory", baseline: true },
  () => {
    for (let i = 0; i < TIMES; i++) number += u32[i]!;
  },
);

Deno.bench("1000 loads: Atomics.load", { group: "memory" }, () => {
  for (let i = 0; i < TIMES; i++) number += Atomics.load(u32, i);
});

Deno.bench("1000 loads: DataView.getBigUint64", { group: "memory" }, () => {
  for (let i = 0; i < TIMES; i++) {
    number += Number(view.getBigUint64((i & 0xff) * 8, true));
  }
});

Deno.bench("1000 loads: u64 as two u32", { group: "memory" }, () => {
  for (let i = 0; i < TIMES; i++) {
    const at = (i & 0xff) * 2;
    number += u32[at]! + u32[at + 1]! * 0x1_0000_0000;
  }
});

Deno.bench("1000 stores: Atomics.store", { group: "memory" }, () => {
  for (let i = 0; i < TIMES; i++) Atomics.store(u32, i, i);
});

// A worker that sleeps until word 0 changes, and answers in word 1.
const echo = `self.onmessage = ({ data: words }) => {
  self.postMessage("ready");
  for (let round = 0;;) {
    Atomics.wait(words, 0, round);
    round = Atomics.load(words, 0);
    Atomics.store(words, 1, round);
    Atomics.notify(words, 1);
  }
};`;
const words = new Int32Array(new SharedArrayBuffer(8));
const worker = new Worker(`data:text/javascript,${encodeURIComponent(echo)}`, {
  type: "module",
});
await new Promise((ready) => {
  worker.onmessage = ready;
  worker.postMessage(words);
});

Deno.bench("round trip to a thread in Atomics.wait", () => {
  const round = Atomics.add(words, 0, 1) + 1;
  Atomics.notify(words, 0);
  Atomics.wait(words, 1, round - 1);
});
