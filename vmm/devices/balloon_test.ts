/** What a configuration says of a balloon, in the device's words. */
import assert from "node:assert/strict";
import { BALLOON } from "./balloon.ts";

Deno.test("balloon: its options are the configuration's", async () => {
  using stack = new DisposableStack();
  const { name, data } = await BALLOON.open(
    {
      amount_mib: 64,
      deflate_on_oom: true,
      stats_polling_interval_s: 0,
      free_page_reporting: false,
      free_page_hinting: true,
    },
    stack,
    stack,
  );
  assert.equal(name, "balloon");
  assert.deepEqual(data, {
    mib: 64,
    statsInterval: 0,
    deflateOnOom: true,
    reporting: false,
    hinting: true,
  });
});
