/** Some of the calls of `deno task fuzz:api`. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { randomCalls } from "./calls.ts";

Deno.test(needing([KVM], {
  name:
    "API: random calls beside a guest are all answered, and the guest goes on right",
  async fn() {
    const statuses = await randomCalls(7, (calls) => calls < 400);
    for (const status of [200, 204, 400]) {
      assert.ok(statuses[status]! > 20, JSON.stringify(statuses));
    }
  },
}));
