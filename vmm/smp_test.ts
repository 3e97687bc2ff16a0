/** Several vCPUs: the payload starts them itself, by INIT and SIPI. */
import assert from "node:assert/strict";
import { readPayload } from "../images/payload/payload.ts";
import { KVM, needing } from "../ffi/testing/needs.ts";
import type { MachineConfig, VmConfig } from "./config/types.ts";
import type { Drive } from "./devices/mod.ts";
import { Counters } from "./testing/counters.ts";
import { runMachine, ScratchFile, TestMachine } from "./testing/mod.ts";

const payload = await readPayload();

function kvmTest(name: string, fn: () => Promise<void>): void {
  Deno.test(needing([KVM], { name, fn }));
}

function configOf(
  words: string,
  machine: MachineConfig,
  ...disks: ScratchFile[]
): VmConfig {
  return {
    "boot-source": { kernel_image_path: payload, boot_args: words },
    "machine-config": { mem_size_mib: 64, ...machine },
    drives: disks.map(({ path }, index): Drive => ({
      drive_id: `d${index}`,
      path_on_host: path,
      is_root_device: false,
    })),
  };
}

kvmTest(
  "SMP: a window's registers are right while four vCPUs use it, and survive attacks by all",
  async () => {
    using first = new ScratchFile(8 << 20);
    using second = new ScratchFile(8 << 20);
    const config = configOf("smp=4", { vcpu_count: 4 }, first, second);
    const { end, output } = await runMachine(config);
    assert.equal(end.reason, "reset", output);
    assert.match(output, /^smp: 4 CPUs ok/m);
    assert.match(output, /^smp: [1-9]\d+ register reads .* 0 wrong ok/m);
    assert.match(output, /^smp: wild accesses from 4 CPUs ok/m);
    assert.match(output, /^payload: ok/m, output);
    // Afterwards, both disks have worked once more.
    const verified = output.match(/1 MiB verified \(interrupts\)/g);
    assert.equal(verified?.length, 3, output);
  },
);

kvmTest("SMP: nothing that four vCPUs print at once is lost", async () => {
  const config = configOf("smp=4", { vcpu_count: 4 });
  const { output } = await runMachine(config);
  const from = output.indexOf("\n", output.indexOf("smp: 4 CPUs ok"));
  const letters = output.slice(from, output.indexOf("smp: 1000 letters"));
  for (const letter of "ABCD") {
    assert.equal(letters.split(letter).length - 1, 1000, output);
  }
});

kvmTest(
  "SMP: 32 vCPUs start, and the last one resets the machine",
  async () => {
    const config = configOf("smp=32 ap=reset", { vcpu_count: 32 });
    const { end } = await runMachine(config);
    assert.deepEqual(end.reason, "reset", end.message);
  },
);

kvmTest("SMP: power-off and triple fault on another vCPU", async () => {
  for (
    const [ap, reason] of [["off", "power-off"], ["fault", "triple-fault"]]
  ) {
    const config = configOf(`smp=3 ap=${ap}`, { vcpu_count: 3 });
    const { end, output } = await runMachine(config);
    assert.equal(end.reason, reason, output);
  }
});

kvmTest(
  "SMP: vCPUs that never started don't keep a halted machine alive",
  async () => {
    // The others wait for a SIPI; the only one that runs parks itself.
    const config = configOf("smp=1 ap=park", { vcpu_count: 2 });
    await using test = await TestMachine.create(config);
    test.machine.start();
    await test.printed("smp: 1 CPUs ok");
    assert.deepEqual(await test.machine.wait(), { reason: "halt" });
  },
);

function pause(milliseconds: number): Promise<void> {
  return new Promise((done) => setTimeout(done, milliseconds));
}

kvmTest(
  "SMP: one kick for each vCPU pauses them all, as often as you like; resumed, all go on",
  async () => {
    using ram = new ScratchFile(64 << 20);
    // They count in registers and RAM: nothing but a kick makes them exit.
    const config = configOf("smp=4 ap=count", {
      vcpu_count: 4,
      memory_file: ram.path,
    });
    await using test = await TestMachine.create(config);
    test.machine.start();
    const counters = await Counters.of(test, ram.path, 4);
    for (let round = 0; round < 20; round++) {
      await counters.moved();
      await test.machine.pause();
      const paused = counters.read();
      await pause(round === 0 ? 300 : 5);
      assert.deepEqual(counters.read(), paused);
      await test.machine.resume();
    }
    await counters.moved();
    // Without a pause for breath in between.
    for (let round = 0; round < 50; round++) {
      await test.machine.pause();
      await test.machine.resume();
    }
    await counters.moved();
    assert.deepEqual(await test.machine.stop(), { reason: "stopped" });
  },
);

kvmTest("SMP: paused, a machine can be stopped", async () => {
  const config = configOf("smp=3 ap=count", { vcpu_count: 3 });
  await using test = await TestMachine.create(config);
  test.machine.start();
  await test.printed("counters at");
  await test.machine.pause();
  assert.deepEqual(await test.machine.stop(), { reason: "stopped" });
});

kvmTest("Memory: 6 GiB are all there, below and above the hole", async () => {
  const config = configOf("memory", { mem_size_mib: 6 << 10 });
  const { output } = await runMachine(config);
  assert.match(output, /^memory: \d+ words up to 0x1c0000000, 0 wrong ok/m);
  assert.match(output, /^payload: ok/m);
});

kvmTest("Memory: the largest guest, too", async () => {
  const config = configOf("memory step=1G", { mem_size_mib: 64 << 10 });
  const { output } = await runMachine(config);
  assert.match(output, /up to 0x1040000000, 0 wrong ok/, output);
});
