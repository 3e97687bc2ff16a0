/** What is made when it is asked for. */
import assert from "node:assert/strict";
import { lazily, viewedLater } from "./lazy_views.ts";

Deno.test("lazy views: made once, and not before", () => {
  let made = 0;
  const target: { readonly list: number[] } = { list: [] };
  lazily(target, "list", () => [++made]);
  assert.equal(made, 0);
  assert.deepEqual(target.list, [1]);
  assert.equal(target.list, target.list);
  assert.equal(made, 1);
});

Deno.test("lazy views: of one buffer, which is asked for with the first", () => {
  let asked = 0;
  const buffer = new ArrayBuffer(8);
  const mapping = {
    get buffer() {
      asked++;
      return buffer;
    },
  }; // deno-fmt-ignore
  const region = viewedLater({
    u8: new Uint8Array(),
    u16: new Uint16Array(),
    u32: new Uint32Array(),
  }, mapping);
  assert.equal(asked, 0);
  region.u8[0] = 7;
  assert.deepEqual([region.u16[0], region.u32[0], region.u8.length], [7, 7, 8]);
});
