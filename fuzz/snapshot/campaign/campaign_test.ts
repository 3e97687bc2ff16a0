/** Each campaign, a few rounds of it: `task storm:snapshot` has the long ones. */
import { needing } from "../../../ffi/testing/needs.ts";
import type { Campaign } from "./campaign.ts";
import { FORKS } from "./forks.ts";

function short(name: string, rounds: number, campaign: Campaign): void {
  Deno.test(needing(campaign.needs, {
    name: `campaign: ${name}`,
    async fn() {
      const said: string[] = [];
      try {
        await campaign.run(rounds, (line) => said.push(line));
      } catch (error) {
        throw new Error(said.join("\n"), { cause: error });
      }
    },
  }));
}

short("a Linux at work is forked, sums, files and disks are right", 2, FORKS);
