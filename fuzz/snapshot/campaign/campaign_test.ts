/** The quickest campaign, one round of it: `task storm:snapshot` has them all. */
import { needing } from "../../../ffi/testing/needs.ts";
import type { Campaign } from "./campaign.ts";
import { CPUS_32 } from "./cpus.ts";

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

short("32 CPUs at work are saved, restored, forked and put back", 1, CPUS_32);
