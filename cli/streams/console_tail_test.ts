/** The last that a guest said. */
import assert from "node:assert/strict";
import { ConsoleTail } from "./console_tail.ts";

function tailOf(...texts: string[]): ConsoleTail {
  const tail = new ConsoleTail();
  for (const text of texts) tail.push(new TextEncoder().encode(text));
  return tail;
}

Deno.test("ConsoleTail: the last lines, whole, however they came", () => {
  assert.deepEqual(tailOf().lines(), []);
  assert.deepEqual(tailOf("a\r\nb", "c\r\n\r\n", "d").lines(), [
    "a",
    "bc",
    "d",
  ]);
  const many = Array.from({ length: 3000 }, (_, i) => `line ${i}\n`);
  const last = many.slice(-10).map((line) => line.trim());
  assert.deepEqual(tailOf(...many).lines(), last);
  assert.deepEqual(tailOf(many.join("")).lines(), last);
  // A line of which the beginning is lost is none.
  assert.deepEqual(tailOf("x".repeat(5000), "\nend").lines(), ["end"]);
});

Deno.test("ConsoleTail: nothing that a terminal would act on", () => {
  const sequences = "\x1b[2J\x1b[1;31mred\x1b[0m\x1b]0;title\x07 \x07bell\x9b";
  assert.deepEqual(tailOf(sequences).lines(), ["red bell"]);
  const marker = "\x1b_vireo:12345678:ready\x1b\\# ";
  assert.deepEqual(tailOf(marker).lines(), ["#"]);
});

Deno.test("ConsoleTail: below a message, or that there is nothing", () => {
  assert.equal(tailOf("a\nb").below("it said:"), "it said:\n  a\n  b");
  assert.equal(tailOf().below("it said:"), "it said: nothing");
});
