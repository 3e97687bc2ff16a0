/** What a configuration says of a balloon, in the device's words. */
import assert from "node:assert/strict";
import { balloonOptions } from "./balloon.ts";

Deno.test("balloon: its options are the configuration's", () => {
  assert.deepEqual(
    balloonOptions({
      amount_mib: 64,
      deflate_on_oom: true,
      stats_polling_interval_s: 0,
      free_page_reporting: false,
      free_page_hinting: true,
    }),
    {
      mib: 64,
      statsInterval: 0,
      deflateOnOom: true,
      reporting: false,
      hinting: true,
    },
  );
});
