/**
 * All campaigns, by name.
 *
 * @module
 */
import type { Campaign } from "./campaign.ts";
import { FORKS } from "./forks.ts";

/** In the order in which they are run. */
export const CAMPAIGNS: Readonly<Record<string, Campaign>> = {
  forks: FORKS,
};
