/** The quickest campaign, one round of it: `task storm:snapshot` has them all. */
import { needing } from "../../../ffi/testing/needs.ts";
import type { Campaign } from "./campaign.ts";
import { KILLS } from "./kills.ts";

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

short("killed while it saves, what is there is whole", 3, KILLS);
