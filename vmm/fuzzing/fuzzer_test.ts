/** A guest's driver is fuzzed by going back to where it reads an answer. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { readPayload } from "../../images/payload/payload.ts";
import type { VmConfig } from "../config/types.ts";
import { Machine } from "../machine.ts";
import type { Snapshot } from "../snapshot/mod.ts";
import type { Change } from "./answers.ts";
import type { Access } from "./target.ts";
import { Fuzzer, type FuzzerOptions, type FuzzProgress } from "./fuzzer.ts";
import { crash, hang, kernelLog, kindOf, says } from "./oracles.ts";
import { openRawImage } from "../../devices/backends/block/open_image.ts";
import { rawBackend } from "../../devices/backends/block/engine.ts";
import { Blk } from "../../devices/virtio/blk/blk.ts";
import { ScratchFile, TestMachine } from "../testing/mod.ts";
import { BREAKS, ECHOES, HI, NESTED, NOTES } from "../testing/tiny_guest.ts";

const MEMORY = { mem_size_mib: 8 };
/** Far off: a try that the host holds up is to end as any other. */
const milliseconds = 600_000;

/** The driver of {@linkcode BREAKS}, and a device that always says 0. */
const ZEROS: FuzzerOptions = {
  device: { port: 0x300, size: 2, model: { read: () => 0, write() {} } },
  until: { accesses: 8, milliseconds },
};

/** A machine with this kernel that has printed "hi", saved. */
async function saved(
  kernel: Uint8Array,
  machine: VmConfig["machine-config"] = MEMORY,
): Promise<Snapshot> {
  await using test = await TestMachine.create({
    "boot-source": { kernel_image_path: kernel },
    "machine-config": machine,
  });
  test.machine.start();
  await test.printed("hi");
  return await test.machine.snapshot();
}

Deno.test(needing([KVM], {
  name:
    "Fuzzer: a mistake behind two answers is found, made small, and comes again",
  async fn() {
    using snapshot = await saved(BREAKS);
    using fuzzer = await Fuzzer.of(snapshot, ZEROS);
    const honest = fuzzer.replay([]);
    assert.equal(honest.end, "accesses");
    assert.equal(honest.finding, undefined);
    assert.deepEqual(honest.answers[0], { kind: "register", at: 0, size: 1 });
    const told: unknown[] = [];
    const onFinding = (found: unknown) => told.push(found);
    const options = { seed: 5, tries: 4000, first: true, onFinding };
    const report = await fuzzer.run(options);
    assert.equal(report.found.length, 1, JSON.stringify(report));
    const [found] = report.found as [typeof report.found[0]];
    assert.deepEqual(told, [found]);
    assert.equal(found.oracle, "crash");
    assert.equal(found.text, "the guest triple-faulted");
    assert.equal(found.repeats, true);
    const bytes = found.changes.map((change) => change.bytes);
    assert.deepEqual(bytes, [[0x80], [1]], "nothing that it doesn't need");
    const again = fuzzer.replay(JSON.parse(JSON.stringify(found.changes)));
    assert.equal(again.finding?.text, found.text);
    // The same seed, the same tries: another machine finds it in the same one.
    using other = await Fuzzer.of(snapshot, ZEROS);
    assert.deepEqual((await other.run(options)).found, report.found);
    assert.deepEqual(fuzzer.replay([]).answers, honest.answers, "it goes on");
  },
}));

Deno.test(needing([KVM], {
  name:
    "Fuzzer: notes of where the code comes by lead it to what it never finds without",
  async fn() {
    using snapshot = await saved(NESTED);
    const device: FuzzerOptions["device"] = {
      ...{ port: 0x300, size: 3, model: { read: () => 0, write() {} } },
    };
    const whole = {
      device,
      from: ({ offset }: Access) => offset === 0,
      until: { accesses: 3, milliseconds }, // to the next first
    };
    using led = await Fuzzer.of(snapshot, { ...whole, kcov: NOTES });
    using blind = await Fuzzer.of(snapshot, whole);
    for (const seed of [1, 4]) {
      const options = { seed, tries: 3000, first: true };
      const way: FuzzProgress[] = [];
      const onNew = (changes: readonly Change[], progress: FuzzProgress) => {
        way.push(progress);
        assert.equal(led.replay(changes).finding, undefined);
      };
      const report = await led.run({ ...options, onNew });
      assert.equal(report.found[0]?.text, "the guest triple-faulted");
      const least = report.found[0].changes.map(({ answer, bytes }) => //
      [answer, ...bytes]);
      assert.deepEqual(least, [[0, 0x80], [1, 1], [2, 0xff]]);
      // A place more each time, and one more to make others of.
      assert.deepEqual(way.map(({ places }) => places), [2, 3]);
      assert.deepEqual(way.map(({ corpus }) => corpus), [2, 3]);
      assert.equal(report.places, 3);
      const { tries } = report;
      const without = await blind.run({ ...options, tries });
      assert.deepEqual(without.found, [], JSON.stringify(without));
      assert.deepEqual([without.tries, without.places], [tries, 0]);
      assert.equal(without.corpus, 1, "nothing was new");
      // The next run of the same fuzzer has seen nothing yet.
      const again = await led.run(options);
      assert.deepEqual(again.found, report.found);
      assert.equal(again.tries, report.tries);
    }
  },
}));

Deno.test(needing([KVM], {
  name: "Fuzzer: whatever ends a try first, the next begins where this one did",
  async fn() {
    using snapshot = await saved(BREAKS);
    const end = async (options: Partial<FuzzerOptions>) => {
      using fuzzer = await Fuzzer.of(snapshot, { ...ZEROS, ...options });
      const [first, second] = [fuzzer.replay([]), fuzzer.replay([])];
      assert.equal(second.end, first.end);
      return second;
    };
    const few = { accesses: 3, milliseconds };
    assert.equal((await end({ until: few })).accesses, 4);
    const late = { until: { milliseconds: 30 }, oracles: [hang] };
    const time = await end(late);
    assert.equal(time.end, "time");
    assert.deepEqual(time.finding, { oracle: "hang", text: "no end: time" });
    assert.ok(time.milliseconds >= 30, `${time.milliseconds}`);
  },
}));

Deno.test("Fuzzer: a kernel's words for its own mistakes are findings, others are not", () => {
  for (
    const line of [
      "[    1.25] BUG: KASAN: slab-out-of-bounds in x+0x1/0x2",
      "Kernel panic - not syncing: Fatal exception",
      "[ 3.1] Oops: 0002 [#1] PREEMPT SMP",
      "WARNING: CPU: 0 PID: 1 at lib/x.c:3 y+0x1/0x2",
      "general protection fault, probably for non-canonical address",
    ]
  ) {
    assert.equal(kernelLog.line!(line), line);
  }
  assert.equal(kernelLog.line!("virtio_blk virtio1: [vda] 16 512"), undefined);
  assert.equal(
    says(/of range/).line!("id 5 out of range"),
    "id 5 out of range",
  );
  const [one, other] = ["[ 1.5] id 5 at 0xdeadbeef", "[12.25] id 77 at 0x1"]
    .map((line) => kindOf("log", line));
  assert.equal(one, other);
  assert.equal(crash.end!("accesses", undefined), undefined);
});

Deno.test(needing([KVM], {
  name:
    "Fuzzer: a whole probe of a virtio disk, which lies in registers and buffers",
  async fn() {
    using disk = new ScratchFile(1 << 20);
    await using machine = await Machine.create({
      "boot-source": { kernel_image_path: await readPayload() },
      "machine-config": { mem_size_mib: 16 },
      drives: [{
        drive_id: "disk",
        path_on_host: disk.path,
        is_root_device: false,
        is_read_only: true,
      }],
    });
    void machine.pause(); // at its first instruction
    machine.start();
    await machine.pause();
    using snapshot = await machine.snapshot();
    await machine.stop();
    const image = openRawImage({ path: disk.path, readOnly: true });
    const model = new Blk(rawBackend(image, 64, "Sync"), "disk");
    using fuzzer = await Fuzzer.of(snapshot, {
      device: { name: "disk", model },
      until: { text: /^blk0: /, milliseconds },
    });
    const honest = fuzzer.replay([]);
    assert.match(honest.output, /^blk0: .* id "disk"/m);
    const kinds = new Set(honest.answers.map(({ kind }) => kind));
    assert.deepEqual(kinds, new Set(["register", "data", "used"]));
    const answer = honest.answers.findIndex(({ kind }) => kind === "data");
    const bytes = [...new TextEncoder().encode("liar")];
    const lied = fuzzer.replay([{ answer, offset: 0, bytes }]);
    assert.match(lied.output, /^blk0: .* id "liar"/m);
    const magic = fuzzer.replay([{ answer: 0, offset: 0, bytes: [0] }]);
    assert.doesNotMatch(magic.output, /blk0/);
    assert.equal(fuzzer.replay([]).output, honest.output);
  },
}));

Deno.test(needing([KVM], {
  name: "Fuzzer: what can't be fuzzed is refused in a line",
  async fn() {
    using snapshot = await saved(HI);
    const device = ZEROS.device;
    const refused = async (
      of: Snapshot,
      options: FuzzerOptions,
      message: RegExp,
    ) => {
      await assert.rejects(Fuzzer.of(of, options), {
        name: "VireoError",
        message,
      });
    };
    await refused(
      snapshot,
      { device, patience: 20 },
      /^fuzz: the driver does not read there \(time\)$/,
    );
    const model = { read: () => 0, write() {} } as never;
    await refused(
      snapshot,
      { device: { name: "eth0", model } },
      /^fuzz: the machine has no virtio device "eth0"$/,
    );
    using breaks = await saved(BREAKS);
    for (
      const [address, entries, message] of [
        [0x20_0001, 512, /^fuzz: kcov: address 2097153 is not that of a page$/],
        [0x20_0000, 1, /^fuzz: kcov: 1 is not 2 to 16777216 entries$/],
        [2 ** 46, 512, /^fuzz: the program that runs has no KCOV at 0x4000000/],
      ] as const
    ) {
      const kcov = { address, entries };
      await refused(breaks, { ...ZEROS, kcov }, message);
    }
    await refused(
      breaks,
      { ...ZEROS, until: { accesses: NaN } },
      /^fuzz: accesses: NaN is no number from 0 on$/,
    );
    using two = await saved(ECHOES, { ...MEMORY, vcpu_count: 2 });
    await refused(two, { device }, /^fuzz: only a machine with one vCPU$/);
    using pci = await saved(ECHOES, { ...MEMORY, transport: "pci" });
    await refused(pci, { device }, /^fuzz: only devices on mmio, not on pci$/);
  },
}));

Deno.test(needing([KVM], {
  name: "Fuzzer: changes that are none, and a machine that was given back",
  async fn() {
    using snapshot = await saved(BREAKS);
    using fuzzer = await Fuzzer.of(snapshot, ZEROS);
    for (
      const [changes, message] of [
        ['{"answer":0}', /^fuzz: changes are a list$/],
        ['[{"answer":0,"offset":0,"bytes":[]},null]', /^fuzz: change 1 has /],
        ['[{"answer":-1,"offset":0,"bytes":[]}]', /^fuzz: change 0 has no /],
        ['[{"answer":0,"offset":0,"bytes":[256]}]', /^fuzz: change 0 has no /],
      ] as const
    ) {
      const replay = () => fuzzer.replay(JSON.parse(changes));
      assert.throws(replay, { name: "VireoError", message });
    }
    const far = [{ answer: 9e15, offset: 9e15, bytes: [1] }];
    assert.equal(fuzzer.replay(far).finding, undefined);
    await assert.rejects(
      fuzzer.run({ tries: NaN }),
      /^VireoError: fuzz: tries/,
    );
    await assert.rejects(fuzzer.run({ seed: 0.5 }), /^VireoError: fuzz: seed/);
    const first = fuzzer.run({ onNew: () => {} }); // for ever
    const again = fuzzer.run({ tries: 1 });
    await assert.rejects(again, /^VireoError: fuzz: it runs already$/);
    fuzzer[Symbol.dispose]();
    await assert.rejects(
      first,
      /^VireoError: fuzz: the machine was given back$/,
    );
    assert.throws(() => fuzzer.replay([]), /was given back$/);
  },
}));
