/**
 * Lets hostile drivers rage under KVM: `deno task storm --help`.
 *
 * @module
 */
import { Command, InvalidArgumentError } from "commander";
import { VireoError } from "../../ffi/error.ts";
import { KVM, NETWORKS } from "../../ffi/testing/needs.ts";
import { runStorm, type StormResult, STORMS, type Weather } from "./storm.ts";

const MIB = 1 << 20;

interface Options {
  seconds: number;
  storm?: string;
  transport: string;
}

function seconds(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= 86_400) return value;
  throw new InvalidArgumentError("1 to 86400 seconds.");
}

function row(name: string, weather: Weather, result: StormResult): string {
  const { counts, before, after, answerMs, failures } = result;
  const mib = (bytes: number) => (bytes / MIB).toFixed(0);
  const cells = [
    name,
    `${weather.transport}, ${weather.packed ? "packed" : "split"}`,
    weather.seconds,
    counts.accesses,
    counts.doorbells,
    counts.requests,
    counts.resets,
    counts.flips,
    `${mib(before.rss)} / ${mib(after.rss)}`,
    `${before.fds} / ${after.fds}`,
    answerMs.toFixed(0),
    failures.length === 0 ? "ok" : "FAILED",
  ];
  return `| ${cells.join(" | ")} |`;
}

const HEADER = "| storm | transport, rings | s | accesses | doorbells | " +
  "requests | resets | flips | RSS MiB before / after | fds before / after | " +
  "slowest answer ms | verdict |\n" +
  "|---|---|--:|--:|--:|--:|--:|--:|---|---|--:|---|";

async function rage(options: Options): Promise<boolean> {
  const noKvm = KVM.missing();
  if (noKvm !== "") throw new VireoError(`storm: ${noKvm}`);
  const noNetwork = NETWORKS.missing();
  const network = noNetwork === "";
  if (!network) console.error(`${noNetwork}; only disks are attacked`);
  console.log(HEADER);
  let good = true;
  for (const transport of ["mmio", "pci"] as const) {
    if (options.transport !== "all" && options.transport !== transport) {
      continue;
    }
    for (const [index, name] of STORMS[transport].entries()) {
      if (options.storm !== undefined && options.storm !== name) continue;
      const packed = (index + (transport === "pci" ? 1 : 0)) % 2 === 1;
      const weather = { transport, packed, seconds: options.seconds, network };
      const result = await runStorm(name, weather);
      console.log(row(name, weather, result));
      for (const failure of result.failures) console.error(failure);
      good &&= result.failures.length === 0;
    }
  }
  return good;
}

if (import.meta.main) {
  const program = new Command("storm")
    .description(
      "The payload attacks its devices from two vCPUs; a bystander, memory, " +
        "descriptors and the device worker are watched.",
    )
    .option("--seconds <n>", "how long each one lasts", seconds, 60)
    .option("--storm <name>", "only this one")
    .option("--transport <name>", "mmio, pci or all", "all");
  program.parse(Deno.args, { from: "user" });
  try {
    Deno.exit(await rage(program.opts<Options>()) ? 0 : 1);
  } catch (error) {
    if (!(error instanceof VireoError)) throw error;
    console.error(error.message);
    Deno.exit(1);
  }
}
