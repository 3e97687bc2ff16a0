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
/** The time is far off: a try that the host holds up is to end as any other. */
const until = {
  ...{ text: / places$/, instructions: 400_000, milliseconds: 600_000 },
};

/** A seed's run to the first oops. */
const firstOops = (fuzzer: Fuzzer, seed: number, tries = TRIES) =>
  fuzzer.run({ seed, tries, first: true });

/** Each new input is one more, and some have shown code that none had. */
async function grows(fuzzer: Fuzzer): Promise<void> {
  const way: FuzzProgress[] = [];
  const onNew = (_: unknown, progress: FuzzProgress) => way.push(progress);
  const report = await fuzzer.run({ seed: 1, tries: 50, onNew });
  const places = way.map(({ places }) => places);
  assert.deepEqual(places, places.toSorted((a, b) => a - b));
  assert.ok(new Set(places).size >= 3, `${places}`);
  way.forEach(({ corpus }, i) => assert.equal(corpus, 2 + i));
  assert.equal(report.corpus, 1 + way.length);
  assert.equal(report.places, places.at(-1));
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
  await grows(fuzzer);
  const report = await firstOops(fuzzer, 1);
  const [found] = report.found;
  assert.match(found?.text ?? "", OOPS, JSON.stringify(report));
  assert.ok(found!.repeats);
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
      let ledTries = 0, blindTries = 0;
      for (const seed of [1, 2]) {
        const { tries, found } = await firstOops(led, seed);
        assert.equal(found.length, 1);
        ledTries += tries;
        blindTries += (await firstOops(blind, seed, 2 * tries)).tries;
      }
      assert.equal(led.replay([]).finding, undefined, "as it was");
      const said = `${blindTries} without KCOV, ${ledTries} with`;
      assert.ok(blindTries > ledTries, said);
      // Its other mistake: as many steps as it is told.
      using bounded = await Fuzzer.of(snapshot, gauge); // with its budget
      const word = (answer: number, ...bytes: number[]) => //
      ({ answer, offset: 0, bytes });
      const words = [word(8, 2), word(9, 0x80), word(10, 255, 255, 255, 255)];
      const { finding } = bounded.replay(words);
      assert.match(`${finding?.text}`, /^no end: (instructions|time)$/);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
}));
