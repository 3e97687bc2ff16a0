/** Campaigns as they are asked for on a command line. */
import assert from "node:assert/strict";
import { Campaign } from "./campaign.ts";

const MAINS = ["api", "http", "snapshot"];

Deno.test("campaign: from its seed on, until its time is over", () => {
  const campaign = new Campaign("name", "", ["--seconds", "0", "--seed", "7"]);
  assert.equal(campaign.seed, 7);
  assert.equal(campaign.more(12), false);
  assert.equal(campaign.count, 12);
  assert.equal(
    campaign.result("all well"),
    "seed 7: 12 inputs in 0 s, all well",
  );
  assert.equal(new Campaign("name", "", []).more(0), true);
});

for (const name of MAINS) {
  Deno.test(`campaign: fuzz:${name} refuses what it can't take, in a line`, async () => {
    const main = new URL(`${name}/main.ts`, import.meta.url).pathname;
    for (
      const [args, line] of [
        [
          ["--seconds", "x"],
          /^error: option '--seconds <n>' .*not a number\n$/,
        ],
        [["60"], /^error: too many arguments.*\n$/],
      ] as const
    ) {
      const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", main, ...args],
      }).output();
      assert.equal(code, 1);
      assert.equal(stdout.length, 0);
      assert.match(new TextDecoder().decode(stderr), line);
    }
  });
}
