/**
 * Fuzzes the state of snapshots: `deno task fuzz:snapshot --help`.
 *
 * @module
 */
import { Campaign } from "../campaign.ts";
import { savedFolder } from "./saved_folder.ts";
import { fuzzStates } from "./state.ts";

const campaign = new Campaign(
  "fuzz:snapshot",
  "Snapshots with another state than was saved: refused in a line, or a state.",
);
using folder = await savedFolder();
const { opened, refused } = fuzzStates(
  folder.path,
  campaign.seed,
  campaign.more,
);
console.log(
  campaign.result(
    `${opened} opened, all others refused in one of ${refused.size} lines`,
  ),
);
