/**
 * Saves, forks and moves machines at work, many times over:
 * `deno task storm:snapshot --help`.
 *
 * @module
 */
import { Command, InvalidArgumentError } from "commander";
import { missingOf, needing } from "../../../ffi/testing/needs.ts";
import type { Campaign } from "./campaign.ts";
import { CAMPAIGNS } from "./campaigns.ts";

interface Options {
  rounds?: number;
  verbose: boolean;
}

const HEADER = "| campaign | rounds | s | load before / after | seen |\n" +
  "|---|--:|--:|---|---|";

function count(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new InvalidArgumentError("Not a positive whole number.");
}

/** Runs one; true when all was well. */
async function go(
  name: string,
  campaign: Campaign,
  { rounds = campaign.rounds, verbose }: Options,
): Promise<boolean> {
  const { needs } = needing(campaign.needs, { name, fn() {} });
  const missing = missingOf(needs);
  const load = () => Deno.loadavg()[0]!.toFixed(1);
  const before = load();
  const begun = performance.now();
  let last = "";
  const say = (line: string) => {
    last = line;
    if (verbose) console.error(`${name}: ${line}`);
  };
  const row = (seen: string) => {
    const seconds = ((performance.now() - begun) / 1000).toFixed(0);
    const cells = [name, rounds, seconds, `${before} / ${load()}`, seen];
    console.log(`| ${cells.join(" | ")} |`);
  };
  if (missing !== "") {
    row(`not run: ${missing}`);
    return true;
  }
  try {
    row(await campaign.run(rounds, say));
    return true;
  } catch (error) {
    row(`FAILED after: ${last}`);
    console.error(error);
    return false;
  }
}

if (import.meta.main) {
  const program = new Command("storm:snapshot")
    .description("Saves, forks and moves machines at work, many times over.")
    .argument("[campaigns...]", `some of ${Object.keys(CAMPAIGNS).join(", ")}`)
    .option("--rounds <n>", "how often, instead of each one's own count", count)
    .option("--verbose", "say how far it is", false);
  program.parse(Deno.args, { from: "user" });
  const names = program.args.length > 0 ? program.args : Object.keys(CAMPAIGNS);
  const unknown = names.find((name) => !Object.hasOwn(CAMPAIGNS, name));
  if (unknown !== undefined) {
    console.error(`storm:snapshot: there is no ${unknown}`);
    Deno.exit(1);
  }
  console.log(HEADER);
  let good = true;
  for (const name of names) {
    good = await go(name, CAMPAIGNS[name]!, program.opts<Options>()) && good;
  }
  Deno.exit(good ? 0 : 1);
}
