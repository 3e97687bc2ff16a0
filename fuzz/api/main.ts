/**
 * Random calls of the API beside a guest: `deno task fuzz:api --help`.
 *
 * @module
 */
import { Campaign } from "../campaign.ts";
import { randomCalls } from "./calls.ts";

const campaign = new Campaign(
  "fuzz:api",
  "Random calls of the API, good and bad, beside a guest that goes on.",
);
const statuses = await randomCalls(campaign.seed, campaign.more);
console.log(campaign.result("by status"), statuses);
