/** What of a machine can be looked at and changed while it doesn't run. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { KernelSymbols } from "../../guest/kernel/symbols.ts";
import { readPayload } from "../../images/payload/payload.ts";
import { ScratchFile, TestMachine } from "../testing/mod.ts";
import { COUNTS } from "../testing/tiny_guest.ts";

const TINY = {
  "boot-source": { kernel_image_path: COUNTS },
  "machine-config": { mem_size_mib: 16 },
};
/** Of {@linkcode COUNTS}. */
const CODE = [0x66, 0xba, 0xf8, 0x03, 0xfe, 0xc0, 0xee, 0xeb, 0xfb];
const START = 0x10_0000;

function kvmTest(name: string, fn: () => Promise<void>): void {
  Deno.test(needing([KVM], { name, fn }));
}

kvmTest(
  "introspection: registers and memory are read and set, and the machine goes on",
  async () => {
    await using test = await TestMachine.create(TINY);
    const { machine } = test;
    const early = machine.introspect(() => {});
    await assert.rejects(
      early,
      /^VireoError: introspect: the machine is created/,
    );
    machine.start();
    await until(() => test.output.length > 0, "output");
    const seen = await machine.introspect((view) => {
      assert.equal(machine.state, "paused");
      const [vcpu] = view.vcpus;
      assert.ok(vcpu);
      const { rip } = vcpu.registers;
      assert.ok(rip >= START && rip < START + CODE.length, `${rip}`);
      assert.deepEqual([...vcpu.read(BigInt(START), CODE.length)], CODE);
      assert.deepEqual([...view.memory.bytes(START, CODE.length)], CODE);
      assert.deepEqual([vcpu.activity, vcpu.cpl], ["runs", 0]);
      assert.equal(vcpu.special.segment("cs").l, 1);
      // Beyond RAM: what there is of it, and nothing.
      const end = 16 << 20;
      assert.equal(vcpu.read(BigInt(end - 8), 16).length, 8);
      assert.equal(vcpu.read(0x8000_0000_0000n, 16).length, 0);
      assert.equal(vcpu.write(BigInt(end - 2), Uint8Array.of(1, 2, 3)), 2);
      vcpu.setRegisters({ rax: 0x40n, rip: BigInt(START + 4) });
      test.clear();
      const symbols = new KernelSymbols([["loop", BigInt(START + 4)]]);
      assert.match(
        `${view.state(symbols)}`,
        /^vCPU 0: runs, CPL 0, at loop\+0x/m,
      );
      return view.state();
    });
    await until(() => test.output.startsWith("ABC"), "what was set");
    assert.match(
      `${seen}`,
      /^RAM 0x0 to 0xffffff\nvCPU 0: runs, CPL 0\n {2}rax /,
    );
    assert.equal(Deno.inspect(seen), `${seen}`);
    assert.deepEqual(Object.keys(seen), ["memory", "vcpus", "devices"]);

    await machine.pause();
    await machine.introspect(() => {});
    assert.equal(machine.state, "paused", "as it was");
    const failing = machine.introspect(() => {
      throw new Error("mine");
    });
    await assert.rejects(failing, /mine/);
    await machine.stop();
    const late = machine.introspect(() => {});
    await assert.rejects(late, /^VireoError: introspect: the machine is ended/);
  },
);

kvmTest("introspection: a driver's queues and requests are data", async () => {
  using disk = new ScratchFile(8 << 20);
  await using test = await TestMachine.create({
    "boot-source": {
      kernel_image_path: await readPayload(),
      boot_args: "journal",
    },
    "machine-config": { mem_size_mib: 16 },
    drives: [{
      drive_id: "disk",
      path_on_host: disk.path,
      is_root_device: false,
    }],
  });
  test.machine.start();
  await test.printed(/journal.*\n.*\n/);
  const { devices } = await test.machine.introspect((view) => view.state());
  const [device] = devices;
  assert.ok(device && devices.length === 1);
  assert.deepEqual([device.name, device.kind], ["disk", "block"]);
  assert.deepEqual(device.status, [
    ...["ACKNOWLEDGE", "DRIVER", "DRIVER_OK", "FEATURES_OK"],
  ]);
  assert.ok(device.features.includes(32), "VIRTIO_F_VERSION_1");
  const [queue] = device.queues;
  assert.ok(queue?.ready && queue.size > 0 && queue.descriptors > 0);
});
