/** Modules and their options, as words. */
import assert from "node:assert/strict";
import { moduleWords } from "./words.ts";

const FILE = new URL(import.meta.url).pathname;

Deno.test("module words: KEY=VALUE are options; numbers, true and false are such", () => {
  const text = `${FILE},rate=5,slow=0x10,on=true,off=false,ro,a=b=c,` +
    "t=1.5,path=a,,b,none=,id=12ab";
  const { module, options } = moduleWords("--device", text);
  assert.equal(module, import.meta.url);
  assert.deepEqual(options, {
    ...{ rate: 5, slow: 16, on: true, off: false, ro: true, a: "b=c" },
    ...{ t: 1.5, path: "a,b", none: "", id: "12ab" },
  });
  const data = "data:text/javascript,a=1,b";
  assert.deepEqual(moduleWords("--device", data), {
    module: data,
    options: {},
  });
});

Deno.test("module words: what is none is refused in a line", () => {
  const wrong: Record<string, RegExp> = {
    "": /^--device : no file is named$/,
    ",a=1": /^--device ,a=1: no file is named$/,
    [`${FILE},=1`]: /"=1" is no KEY=VALUE$/,
    [`${FILE},`]: /"" is no KEY=VALUE$/,
    [`${FILE},a=1,a=2`]: /"a=2" is there already$/,
    "nowhere.ts,a=1": /^--device nowhere.ts: no such file$/,
  };
  for (const [text, message] of Object.entries(wrong)) {
    assert.throws(() => moduleWords("--device", text), { message }, text);
  }
});
