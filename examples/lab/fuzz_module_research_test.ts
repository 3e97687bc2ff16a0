/** Modules of the research kernel are fuzzed by what KCOV says of their code. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { RESEARCH_LINUX } from "../../images/testing/prepared.ts";
import { Fuzzer, type FuzzProgress, kernelLog } from "../../lab.ts";
import type { Snapshot } from "../../mod.ts";
import { probeOf } from "./fuzz_module.ts";
import { fuzzedModules } from "./fuzzed_modules.ts";

/** Far more than any of these seeds needs. */
const TRIES = 3000;
const OOPS = /BUG: kernel NULL pointer dereference/;
/** Far off: a try that the host holds up is to end as any other. */
const until = { text: / places$/, milliseconds: 600_000 };

/** A seed's run to the first oops, with KCOV or, for as many tries, without. */
async function firstOops(fuzzer: Fuzzer, seed: number, tries = TRIES) {
  const way: FuzzProgress[] = [];
  const report = await fuzzer.run({
    ...{ seed, tries, first: true },
    onNew: (_, progress) => way.push(progress),
  });
  return { report, way };
}

/** Each new input has its count, and some have shown code that none had. */
function grows(way: readonly FuzzProgress[], least: number): void {
  const places = way.map(({ places }) => places);
  assert.deepEqual(places, places.toSorted((a, b) => a - b));
  assert.ok(new Set(places).size >= least, `${places}`);
  way.forEach(({ corpus }, i) => assert.equal(corpus, 2 + i));
}

/** `name`'s mistake is found by its KCOV, and comes again by a command. */
async function finds(
  snapshot: Snapshot,
  folder: string,
  name: string,
): Promise<void> {
  const options = { ...probeOf(name), until, oracles: [kernelLog] };
  using fuzzer = await Fuzzer.of(snapshot, options);
  const honest = fuzzer.replay([]);
  assert.equal(honest.finding, undefined);
  assert.match(honest.output, /^[1-9]\d+ places\r\n$/);
  const { report, way } = await firstOops(fuzzer, 1);
  const [found] = report.found;
  assert.match(found?.text ?? "", OOPS, JSON.stringify(report));
  assert.ok(found!.repeats);
  grows(way, 3);
  const file = `${folder}/${name}.json`;
  await Deno.writeTextFile(file, JSON.stringify(found!.changes));
  const example = import.meta.resolve("./fuzz_module.ts");
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", example, folder, name, file],
  }).output();
  const said = new TextDecoder().decode(stdout);
  assert.equal(code, 0, said + new TextDecoder().decode(stderr));
  assert.match(said, OOPS);
}

Deno.test(needing([KVM, RESEARCH_LINUX, "make", "gcc"], {
  name:
    "research kernel: KCOV leads to mistakes of modules, in a probe of a plain and of a virtio device",
  async fn() {
    const folder = await Deno.makeTempDir();
    try {
      using snapshot = await fuzzedModules(folder);
      await finds(snapshot, folder, "gauge");
      await finds(snapshot, folder, "tally");
      const { kcov, ...gauge } = probeOf("gauge");
      const options = { ...gauge, until, oracles: [kernelLog] };
      using led = await Fuzzer.of(snapshot, { ...options, kcov: kcov! });
      using blind = await Fuzzer.of(snapshot, options);
      let with_ = 0, without = 0;
      for (const seed of [2, 3, 4]) {
        const { tries, found } = (await firstOops(led, seed)).report;
        assert.equal(found.length, 1);
        with_ += tries;
        without += (await firstOops(blind, seed, 2 * tries)).report.tries;
      }
      assert.ok(without > with_, `${without} without, ${with_} with KCOV`);
      // Its other mistake: as many steps as it is told.
      using bounded = await Fuzzer.of(snapshot, gauge);
      const word = (answer: number, ...bytes: number[]) => //
      ({ answer, offset: 0, bytes });
      const words = [word(8, 2), word(9, 0x80), word(10, 255, 255, 255, 255)];
      const { finding } = bounded.replay(words);
      assert.match(`${finding?.text}`, /^no end: (instructions|time)$/);
      assert.equal(bounded.replay([]).finding, undefined, "as it was");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
}));
