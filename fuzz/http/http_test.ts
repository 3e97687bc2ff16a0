/** Some of the inputs of `deno task fuzz:http`. */
import assert from "node:assert/strict";
import { fuzzHttp } from "./http.ts";

Deno.test("HTTP parser: any bytes, in any pieces, are requests or mistakes within its limits", () => {
  const { requests, mistakes } = fuzzHttp(1, (count) => count < 3000);
  assert.ok(requests > 500, `${requests} requests`);
  assert.ok(mistakes > 500, `${mistakes} mistakes`);
});
