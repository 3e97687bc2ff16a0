/**
 * Tries to the mistake of a module's that several words of an answer show, with
 * KCOV and without, for the same seeds: `examples/lab/fuzz_module.ts` boots the
 * guest, and keeps it in FOLDER.
 *
 *     deno run -A bench/fuzz_coverage.ts FOLDER [gauge|tally] [TRIES]
 *
 * @module
 */
import { probeOf } from "../examples/lab/fuzz_module.ts";
import { fuzzedModules } from "../examples/lab/fuzzed_modules.ts";
import { Fuzzer, kernelLog } from "../lab.ts";
import { spread } from "./paths/pairs.ts";

const [folder = "fuzzed", name = "gauge", most = "1000"] = Deno.args;
const SEEDS = [1, 2, 3, 4, 5];
/** The most tries of a seed: what is not found then counts as so many. */
const TRIES = Number(most);

using snapshot = await fuzzedModules(folder);
const oracles = [kernelLog];
using led = await Fuzzer.of(snapshot, { ...probeOf(name), oracles });
const { kcov: _, ...unseen } = probeOf(name);
using blind = await Fuzzer.of(snapshot, { ...unseen, oracles });
for (const [how, fuzzer] of [["with", led], ["without", blind]] as const) {
  const counts: number[] = [],
    rates: number[] = [],
    ran: number[] = [],
    exits: number[] = [];
  let found = 0, places = 0;
  for (const seed of SEEDS) {
    const report = await fuzzer.run({ seed, tries: TRIES, first: true });
    found += report.found.length;
    counts.push(report.tries);
    rates.push(report.rate);
    ran.push(report.instructions);
    exits.push(report.exits);
    places = Math.max(places, report.places);
  }
  const { median, min, max } = spread(counts);
  console.log(
    `${name}, ${how} KCOV: found by ${found} of ${SEEDS.length} seeds, ` +
      `${median} tries (${min} to ${max}), ${places} places; ` +
      `${spread(rates).median.toFixed(1)} tries/s, ` +
      `of a try ${Math.round(spread(ran).median)} instructions, ` +
      `${Math.round(spread(exits).median)} exits`,
  );
}
