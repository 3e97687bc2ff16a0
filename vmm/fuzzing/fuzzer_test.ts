/** A guest's driver is fuzzed by going back to where it reads an answer. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { readPayload } from "../../images/payload/payload.ts";
import type { VmConfig } from "../config/types.ts";
import { Machine } from "../machine.ts";
import type { Snapshot } from "../snapshot/mod.ts";
import { Fuzzer, type FuzzerOptions } from "./fuzzer.ts";
import { crash, hang, kernelLog, kindOf, says } from "./oracles.ts";
import { openRawImage } from "../../devices/backends/block/open_image.ts";
import { rawBackend } from "../../devices/backends/block/engine.ts";
import { Blk } from "../../devices/virtio/blk/blk.ts";
import { ScratchFile, TestMachine } from "../testing/mod.ts";
import { BREAKS, ECHOES, HI } from "../testing/tiny_guest.ts";

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
    const options = { seed: 3, tries: 4000, first: true, onFinding };
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
    using two = await saved(ECHOES, { ...MEMORY, vcpu_count: 2 });
    await refused(two, { device }, /^fuzz: only a machine with one vCPU$/);
    using pci = await saved(ECHOES, { ...MEMORY, transport: "pci" });
    await refused(pci, { device }, /^fuzz: only devices on mmio, not on pci$/);
  },
}));
