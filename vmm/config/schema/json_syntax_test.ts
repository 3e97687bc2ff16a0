/** Where JSON goes wrong. */
import assert from "node:assert/strict";
import { jsonError } from "./json_syntax.ts";

function where(text: string): string | undefined {
  const error = jsonError(text);
  return error && `${error.line}:${error.column}: ${error.text}`;
}

Deno.test("jsonError: line, column, and what is expected there", () => {
  const cases: [string, string][] = [
    ["", "1:1: a value is expected, not the end"],
    ["{", "1:2: a key in double quotes is expected, not the end"],
    ['{"a": 1', '1:8: "," or "}" is expected, not the end'],
    ['{\n  "a": 1,\n}', '3:1: no comma is allowed before "}", not "}"'],
    ['{"a": 1\n"b": 2}', '2:1: "," or "}" is expected, not "\\""'],
    ["{\n\n  'a': 1}", '3:3: a key in double quotes is expected, not "\'"'],
    ['{"a" 1}', '1:6: ":" is expected, not "1"'],
    ['{"a": tru}', '1:7: a value is expected, not "tru"'],
    ['{"a": 01}', '1:8: "," or "}" is expected, not "1"'],
    ['["\t"]', '1:2: a value is expected, not "\\""'],
    ["[1, 2", '1:6: "," or "]" is expected, not the end'],
    ["[1] x", '1:5: nothing more is expected, not "x"'],
    ["// no comments", '1:1: a value is expected, not "/"'],
    [
      '{"a": 1,\n "b": {"a": 2},\n "a": 3}',
      '3:2: the key "a" is there already',
    ],
  ];
  for (const [text, message] of cases) {
    assert.ok(where(text)?.startsWith(message), `${text}: ${where(text)}`);
  }
});

Deno.test("jsonError: deep nesting is no problem", () => {
  const deep = "[".repeat(100_000);
  assert.match(where(deep)!, /^1:100001: a value is expected, not the end/);
  assert.equal(where(deep + "]".repeat(100_000)), undefined);
});

/** Whether `JSON.parse` takes it, and no object has a key twice. */
function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

Deno.test("jsonError: agrees with JSON.parse on thousands of mutations", () => {
  const source = JSON.stringify(
    { a: [1, -2.5e3, "x\u00e9\\\n", null], b: { c: true, d: [[], {}] }, e: "" },
    null,
    1,
  );
  const letters = '{}[]:,"\\0123.eE+-tfn \n\tau';
  let random = 1;
  const below = (limit: number) => {
    random = Math.imul(random, 1103515245) + 12345 >>> 0;
    return (random >>> 8) % limit;
  };
  let valid = 0;
  for (let i = 0; i < 20_000; i++) {
    let text = source;
    for (let changes = below(3); changes >= 0; changes--) {
      const at = below(text.length);
      const rest = text.slice(at + below(3));
      text = text.slice(0, at) + letters[below(letters.length)]! + rest;
    }
    const error = jsonError(text);
    if (error?.text.includes("is there already")) continue;
    assert.equal(error === undefined, isJson(text), text);
    if (error === undefined) valid++;
  }
  assert.ok(valid > 1000, `${valid} of them are JSON`);
});
