/**
 * Fuzzes whole probes of a driver by what KCOV says of its code, and has what
 * was found again; FOLDER keeps the booted guest and each finding:
 *
 *     deno run -A examples/lab/fuzz_module.ts FOLDER gauge|tally|net [SEED] [TRIES]
 *     deno run -A examples/lab/fuzz_module.ts FOLDER gauge|tally|net FINDING.json
 */
import {
  crash,
  type FuzzedDevice,
  Fuzzer,
  hang,
  kernelLog,
} from "../../lab.ts";
import type { FuzzerOptions } from "../../lab.ts";
import { quietNet } from "./fuzz_linux.ts";
import { DRIVERS, fuzzedModules, KCOV } from "./fuzzed_modules.ts";
import Gauge from "./gauge.ts";
import { GAUGE } from "./module.ts";
import Tally from "./tally.ts";

const { address: mmio, mmio: size } = GAUGE;
const DEVICES: Record<string, () => FuzzedDevice> = {
  gauge: () => ({ mmio, size, model: new Gauge() }),
  tally: () => ({ name: "tally", model: new Tally() }),
  net: () => ({ name: "net", model: quietNet }),
};

/** A driver's probe in a program that has KCOV note where it comes by. */
export function probeOf(name: string): FuzzerOptions {
  const [folder, device] = DRIVERS[name] ?? [];
  if (!folder) throw new Error(`${name} is not gauge, tally or net`);
  return {
    device: DEVICES[name]!(),
    input: `/tmp/kcov ${folder}/bind ${device}\n`,
    until: { text: / places$/, instructions: 400_000, milliseconds: 3000 },
    // Those of virtio may well wait for an answer that was lost.
    oracles: name === "gauge" ? [kernelLog, crash, hang] : [kernelLog, crash],
    kcov: KCOV,
    patience: 600_000,
  };
}

if (import.meta.main) {
  const [folder = "fuzzed", name = "gauge", what = "1", tries = "2000"] =
    Deno.args;
  const probe = probeOf(name);
  const again = what.endsWith(".json"); // and the time is far off then
  if (again) probe.until = { ...probe.until, milliseconds: 600_000 };
  using snapshot = await fuzzedModules(folder);
  using fuzzer = await Fuzzer.of(snapshot, probe);
  if (again) {
    const { finding, output } = fuzzer.replay(
      JSON.parse(await Deno.readTextFile(what)),
    );
    console.log(`${output}\n${finding?.oracle}: ${finding?.text}`);
    Deno.exit(finding ? 0 : 1);
  }
  const { found: _, ...report } = await fuzzer.run({
    seed: Number(what),
    tries: Number(tries),
    onNew: (_, { tries, corpus, places }) =>
      console.log(`try ${tries}: ${places} places, ${corpus} inputs`),
    async onFinding({ oracle, text, changes, at, repeats }) {
      const path = `${folder}/${name}-${what}-${at}.json`;
      await Deno.writeTextFile(path, JSON.stringify(changes));
      const again = repeats ? "" : ", which did not come again";
      console.log(`try ${at}: ${oracle}: ${text}${again}\n  ${path}`);
    },
  });
  console.log(report);
}
