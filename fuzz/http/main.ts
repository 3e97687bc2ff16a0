/**
 * Fuzzes the API's HTTP parser: `deno task fuzz:http --help`.
 *
 * @module
 */
import { Campaign } from "../campaign.ts";
import { fuzzHttp } from "./http.ts";

const campaign = new Campaign(
  "fuzz:http",
  "Requests, good and spoiled, in pieces of any length, for the HTTP parser.",
);
const { requests, mistakes } = fuzzHttp(campaign.seed, campaign.more);
console.log(campaign.result(`${requests} requests, ${mistakes} mistakes`));
