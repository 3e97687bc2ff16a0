/**
 * How many tries a second Linux's drivers of a disk and a network are fuzzed
 * with: one answer, and a whole probe. `fuzz_rate.ts` is of the payload's.
 *
 *     deno run -A bench/fuzz_linux_rate.ts [TRIES]
 *
 * @module
 */
import { linuxDriver } from "../examples/lab/fuzz_linux.ts";
import { Fuzzer, type FuzzerOptions, type Limits } from "../lab.ts";
import type { Snapshot } from "../mod.ts";
import { spread } from "./paths/pairs.ts";

const RUNS = 5;
/** What the driver may make of one answer, where KVM emulates it. */
const ONE_ANSWER: Limits = { instructions: 8000 };
const TRIES = Number(Deno.args[0] ?? 300);

/** Rates of several runs; each has its own seed. */
async function measure(
  name: string,
  snapshot: Snapshot,
  options: FuzzerOptions,
  tries: number,
): Promise<void> {
  using fuzzer = await Fuzzer.of(snapshot, options);
  const rates: number[] = [];
  let instructions = 0, found = 0;
  for (let seed = 1; seed <= RUNS; seed++) {
    const report = await fuzzer.run({ seed, tries });
    rates.push(report.rate);
    instructions += report.instructions / RUNS;
    found += report.found.length;
  }
  const { median, min, max } = spread(rates);
  const shown = [min, median, max].map((rate) =>
    rate.toFixed(rate < 100 ? 1 : 0)
  );
  console.log(
    `${name}: ${shown.join(" / ")} tries/s (min/median/max of ${RUNS}), ` +
      `${instructions.toFixed(0)} instructions of a try, ${found} findings`,
  );
}

for (const what of ["blk", "net"]) {
  const [saved, options] = await linuxDriver(what);
  using snapshot = saved;
  await measure(
    ...[`Linux's virtio-${what}, one answer`, snapshot] as const,
    { ...options, until: ONE_ANSWER },
    TRIES,
  );
  await measure(
    ...[`Linux's virtio-${what}, a whole probe`, snapshot] as const,
    options,
    Math.ceil(TRIES / 10),
  );
}
