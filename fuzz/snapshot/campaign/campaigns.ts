/**
 * All campaigns, by name.
 *
 * @module
 */
import type { Campaign } from "./campaign.ts";
import { CPUS_32 } from "./cpus.ts";
import { FORKS } from "./forks.ts";
import { GENERATIONS } from "./generations.ts";
import { KILLS } from "./kills.ts";

/** In the order in which they are run. */
export const CAMPAIGNS: Readonly<Record<string, Campaign>> = {
  forks: FORKS,
  generations: GENERATIONS,
  kills: KILLS,
  cpus: CPUS_32,
};
