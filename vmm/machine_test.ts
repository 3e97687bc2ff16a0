/** The payload under KVM: the machine, its devices, and its end. */
import assert from "node:assert/strict";
import { KVM, needing, NETWORKS } from "../ffi/testing/needs.ts";
import { descriptorsButDenos } from "../ffi/testing/descriptors.ts";
import { until } from "../ffi/testing/until.ts";
import { buildElf } from "../guest/testing/mod.ts";
import { readPayload } from "../images/payload/payload.ts";
import type { VmConfig } from "./config/types.ts";
import type { Drive } from "./devices/mod.ts";
import {
  descriptorsAgain,
  descriptorsAtRest,
  runMachine,
  ScratchFile,
  TestMachine,
  TestNetwork,
} from "./testing/mod.ts";
import { HI } from "./testing/tiny_guest.ts";

const payload = await readPayload();

function kvmTest(name: string, fn: () => Promise<void>): void {
  Deno.test(needing([KVM], { name, fn }));
}

function networkTest(
  name: string,
  fn: () => Promise<void>,
  ...programs: string[]
): void {
  Deno.test(needing([KVM, NETWORKS, ...programs], { name, fn }));
}

function payloadConfig(words: string, ...disks: (string | Drive)[]): VmConfig {
  return {
    "boot-source": { kernel_image_path: payload, boot_args: words },
    "machine-config": { mem_size_mib: 64 },
    drives: disks.map((disk, index) =>
      typeof disk === "string" ? drive(disk, index) : disk
    ),
  };
}

function drive(path: string, index: number): Drive {
  return { drive_id: `d${index}`, path_on_host: path, is_root_device: false };
}

/** A guest of a few instructions at 1 MiB. */
function code(...bytes: number[]): VmConfig {
  const kernel = buildElf({
    segments: [{ address: 0x10_0000n, bytes: Uint8Array.from(bytes) }],
  });
  return {
    "boot-source": { kernel_image_path: kernel, boot_args: "" },
    "machine-config": { mem_size_mib: 8 },
  };
}

/** `mov dx, 0x3f8; mov al, character; out dx, al` */
const print = (character: string) => [
  ...[0x66, 0xba, 0xf8, 0x03],
  ...[0xb0, character.charCodeAt(0)],
  0xee,
];
const resetByKeyboard = [0xb0, 0xfe, 0xe6, 0x64]; // out 0x64, 0xfe
const haltForEver = [0xfa, 0xf4, 0xeb, 0xfd]; // cli; hlt; jmp back

kvmTest("Machine: the payload says hello and resets", async () => {
  const { end, output } = await runMachine(payloadConfig("hello"));
  assert.deepEqual(end, { reason: "reset" });
  assert.match(output, /payload: hello/);
});

kvmTest(
  "Machine: the demo verifies a disk, polling and by interrupts",
  async () => {
    using disk = new ScratchFile(8 << 20);
    const { end, output } = await runMachine(payloadConfig("demo", disk.path));
    assert.equal(end.reason, "reset", output);
    assert.match(output, /1 MiB verified \(polling\)/);
    assert.match(output, /1 MiB verified \(interrupts\)/);
    assert.match(output, /^payload: ok/m);
  },
);

for (const transport of ["mmio", "pci"] as const) {
  for (const packed_rings of [false, true]) {
    const kind = packed_rings ? "packed" : "split";
    networkTest(
      `Machine: disk and network over ${transport}, ${kind} queues`,
      async () => {
        using network = new TestNetwork();
        using disk = new ScratchFile(4 << 20);
        const words = `demo ip=${network.guest} peer=${network.host}`;
        const config = payloadConfig(words, disk.path);
        const { end, output } = await runMachine({
          ...config,
          "machine-config": {
            ...config["machine-config"],
            transport,
            packed_rings,
          },
          "network-interfaces": [
            { iface_id: "eth0", host_dev_name: "tap0", netns: network.netns },
          ],
        });
        assert.equal(end.reason, "reset", output);
        assert.match(output, /^payload: ok/m, output);
        assert.match(output, /ping .*: 20\/20 replies/, output);
        const window = transport === "pci" ? "0xd0000000" : "0xc0001000";
        assert.ok(output.includes(`virtio0: blk (device id 2) at ${window}`));
      },
    );
  }
}

kvmTest("Machine: the demo passes with polling off and on", async () => {
  for (const poll_us of [0, 10, 1000]) {
    using disk = new ScratchFile(8 << 20);
    const config = payloadConfig("demo", disk.path);
    config["machine-config"] = { mem_size_mib: 64, poll_us };
    const { output } = await runMachine(config);
    assert.match(output, /^payload: ok/m, `${poll_us}: ${output}`);
  }
});

kvmTest("Machine: the demo passes with interrupts by irqfd", async () => {
  using disk = new ScratchFile(8 << 20);
  const config = payloadConfig("demo", disk.path);
  config["machine-config"] = { mem_size_mib: 64, irqfd: true };
  const { output } = await runMachine(config);
  assert.match(output, /1 MiB verified \(interrupts\)/);
});

kvmTest(
  "Machine: an interrupt costs two exits, and none where registers are mapped",
  async () => {
    using disk = new ScratchFile(8 << 20);
    const exitsOfInterrupt = async (mapped_registers: boolean) => {
      const words = "bench=blk-randread wait=irq ms=300";
      const config = payloadConfig(words, disk.path);
      config["machine-config"] = { mem_size_mib: 64, mapped_registers };
      await using test = await TestMachine.create(config);
      const { output } = await test.run();
      const [, interrupts] = /^bench: .* interrupts=(\d+)/m.exec(output)!;
      const { vcpus: [vcpu] } = await test.machine.metrics();
      return vcpu!.exits["mmio"]! / Number(interrupts);
    };
    const exiting = await exitsOfInterrupt(false);
    assert.ok(exiting >= 2, `${exiting}: the status is read, and answered`);
    const mapped = await exitsOfInterrupt(true);
    assert.ok(mapped < exiting / 2, `${mapped}, and ${exiting} with exits`);
  },
);

kvmTest("Machine: irqfd is one more eventfd for each device", async () => {
  using disk = new ScratchFile(4096);
  using other = new ScratchFile(4096);
  const eventFds = async (irqfd: boolean) => {
    const config = payloadConfig("", disk.path, other.path);
    config["boot-source"].kernel_image_path = HI;
    config["machine-config"] = { mem_size_mib: 16, irqfd };
    await using test = await TestMachine.create(config);
    void test.run();
    await until(() => test.machine.state === "running", "devices");
    return descriptorsButDenos().filter((fd) => fd.includes("eventfd")).length;
  };
  assert.equal(await eventFds(true), await eventFds(false) + 2);
});

kvmTest("Machine: what the guest wrote is in the image", async () => {
  using disk = new ScratchFile(8 << 20);
  const run = await runMachine(payloadConfig("demo keep", disk.path));
  assert.match(run.output, /^payload: ok/m);
  assert.ok(Deno.readFileSync(disk.path).some((byte) => byte !== 0));
  assert.equal(Deno.statSync(disk.path).size, 8 << 20);
});

kvmTest("Machine: O_DIRECT works the same", async () => {
  using disk = new ScratchFile(8 << 20);
  const direct = { ...drive(disk.path, 0), direct: true };
  const { output } = await runMachine(payloadConfig("demo", direct));
  assert.match(output, /^payload: ok/m);
});

kvmTest(
  "Machine: a read-only disk refuses writes and stays as it was",
  async () => {
    using disk = new ScratchFile(1 << 20);
    Deno.writeFileSync(disk.path, crypto.getRandomValues(new Uint8Array(4096)));
    Deno.truncateSync(disk.path, 1 << 20);
    const before = Deno.readFileSync(disk.path);
    const readOnly = { ...drive(disk.path, 0), is_read_only: true };
    const { output } = await runMachine(payloadConfig("demo", readOnly));
    assert.match(output, /read-only/);
    assert.match(output, /^payload: ok/m);
    assert.deepEqual(Deno.readFileSync(disk.path), before);
  },
);

networkTest("Machine: the demo pings the host through a TAP", async () => {
  using network = new TestNetwork();
  const words = `demo ip=${network.guest} peer=${network.host}`;
  const { output } = await runMachine({
    ...payloadConfig(words),
    "network-interfaces": [
      { iface_id: "eth0", host_dev_name: "tap0", netns: network.netns },
    ],
  });
  assert.match(output, /20\/20 replies \(polling\)/);
  assert.match(output, /20\/20 replies \(interrupts\)/);
  assert.match(output, /^payload: ok/m);
});

networkTest("Machine: the host pings the guest", async () => {
  using network = new TestNetwork();
  await using test = await TestMachine.create({
    ...payloadConfig(`serve=20 ip=${network.guest}`),
    "network-interfaces": [
      { iface_id: "eth0", host_dev_name: "tap0", netns: network.netns },
    ],
  });
  test.machine.start();
  await test.printed("answering at");
  // With -w it waits for 20 answers; else for two round trips after the last.
  const ping = ["ping", "-c", "20", "-i", "0.01", "-w", "600", network.guest];
  // Several answers may come at once, after the last one that is waited for.
  const said = await network.run(...ping);
  const [, received] = / (\d+) received/.exec(said) ?? [];
  assert.ok(Number(received) >= 20, said);
}, "ping");

networkTest(
  "Machine: a hostile driver hurts neither VMM nor neighbours",
  async () => {
    using network = new TestNetwork();
    using first = new ScratchFile(4 << 20);
    using second = new ScratchFile(4 << 20);
    const { end, output, log } = await runMachine({
      ...payloadConfig("hostile=all", first.path, second.path),
      "network-interfaces": [
        { iface_id: "eth0", host_dev_name: "tap0", netns: network.netns },
      ],
    });
    assert.equal(end.reason, "reset", output);
    assert.match(output, /^payload: ok/m, output);
    for (
      const attack of [
        "loop",
        "outside",
        "hole",
        "zerolen",
        "hugelen",
        "longchain",
        "usedoutside",
        "size0",
        "sizeodd",
        "notready",
        "resetinflight",
        "wildregs",
      ]
    ) {
      const verdict = new RegExp(`^hostile: blk0 ${attack} .*verdict=ok`, "m");
      assert.match(output, verdict);
    }
    assert.ok(log.some((line) => line.includes("chain too long")), log.join());
  },
);

kvmTest("Machine: a triple fault ends it with that reason", async () => {
  // No IDT: an undefined instruction can't be delivered.
  const { end } = await runMachine(code(0x0f, 0x0b));
  assert.equal(end.reason, "triple-fault");
});

kvmTest(
  "Machine: HLT with interrupts off ends it, though KVM doesn't say",
  async () => {
    const { end, output } = await runMachine(
      code(...print("h"), ...haltForEver),
    );
    assert.deepEqual(end, { reason: "halt" });
    assert.equal(output, "h");
  },
);

kvmTest("Machine: the sleep control register powers off", async () => {
  // mov dx, 0x600; mov al, 0x34; out dx, al
  const powerOff = [0x66, 0xba, 0x00, 0x06, 0xb0, 0x34, 0xee];
  const { end } = await runMachine(code(...powerOff, ...haltForEver));
  assert.deepEqual(end, { reason: "power-off" });
});

kvmTest(
  "Machine: FWAIT is carried out, by the CPU or by stepping past",
  async () => {
    const { end, output } = await runMachine(
      code(...print("a"), 0x9b, ...print("b"), ...resetByKeyboard),
    );
    assert.equal(end.reason, "reset", end.message);
    assert.equal(output, "ab");
  },
);

kvmTest("Machine: stop ends a guest that loops for ever", async () => {
  await using test = await TestMachine.create(code(...print("x"), 0xeb, 0xfe));
  test.machine.start();
  await test.printed("x");
  assert.deepEqual(await test.machine.stop(), { reason: "stopped" });
});

kvmTest(
  "Machine: a paused guest does nothing; resumed it goes on",
  async () => {
    // loop: in al, 0x60 (an exit); print "."; jmp loop
    const body = [0xe4, 0x60, ...print(".")];
    const loop = [...body, 0xeb, 0x100 - body.length - 2];
    await using test = await TestMachine.create(code(...loop));
    test.machine.start();
    await test.printed("...");
    await test.machine.pause();
    await new Promise((done) => setTimeout(done, 50));
    const paused = test.output.length;
    await new Promise((done) => setTimeout(done, 200));
    assert.equal(test.output.length, paused);
    await test.machine.resume();
    await test.printed(".".repeat(paused + 10));
    // Calls in any order end in the state of the last one.
    const calls = [test.machine.pause(), test.machine.pause()];
    calls.push(test.machine.resume());
    await Promise.all(calls);
    await test.printed(".".repeat(test.output.length + 10));
  },
);

kvmTest(
  "Machine: a guest with kvm-clock is told that it was paused",
  async () => {
    const FLAGS = 0x1f_001d; // of the structure at 0x1f_0000
    const guest = [
      // MSR_KVM_SYSTEM_TIME_NEW = 0x1f_0000, enabled
      ...[0xb9, 0x01, 0x4d, 0x56, 0x4b, 0xb8, 0x01, 0x00, 0x1f, 0x00],
      ...[0x31, 0xd2, 0x0f, 0x30],
      ...print("k"),
      // again: test byte [FLAGS], PVCLOCK_GUEST_STOPPED; jz again
      ...[0xf6, 0x04, 0x25, FLAGS & 0xff, 0x00, 0x1f, 0x00, 2, 0x74, 0xf6],
      ...print("p"),
      ...resetByKeyboard,
    ];
    await using test = await TestMachine.create(code(...guest));
    test.machine.start();
    await test.printed("k");
    await new Promise((done) => setTimeout(done, 50));
    assert.equal(test.output, "k", "it was not paused yet");
    await test.machine.pause();
    await test.machine.resume();
    await test.printed("p");
    assert.deepEqual(await test.machine.wait(), { reason: "reset" });
  },
);

kvmTest(
  "Machine: a guest with ACPI that halts stays, until it is stopped",
  async () => {
    const halting = code(...print("h"), ...haltForEver);
    halting["machine-config"]!.acpi = "on";
    await using test = await TestMachine.create(halting);
    test.machine.start();
    await test.printed("h");
    // Without ACPI it has ended by then.
    await new Promise((done) => setTimeout(done, 3500));
    assert.equal(test.machine.state, "running");
    assert.deepEqual(await test.machine.stop(), { reason: "stopped" });
  },
);

kvmTest(
  "Machine: input reaches a guest that polls the serial port",
  async () => {
    // wait: in al, LSR; test al, 1; jz wait; in al, RBR; out THR, al; jmp wait
    const poll = [
      ...[0x66, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xf7],
      ...[0x66, 0xba, 0xf8, 0x03, 0xec, 0xee, 0xeb, 0xef],
    ];
    await using test = await TestMachine.create(code(...poll));
    test.machine.start();
    test.machine.input(new TextEncoder().encode("echo me"));
    await test.printed("echo me");
  },
);

kvmTest("Machine: a failed create leaves no descriptor open", async () => {
  using disk = new ScratchFile(1 << 20);
  const before = await descriptorsAtRest();
  const missing = payloadConfig("hello", disk.path, "/nonexistent/disk");
  await assert.rejects(runMachine(missing), /no such file/);
  const folder = payloadConfig("hello", disk.path, "/proc");
  await assert.rejects(runMachine(folder), /is a directory/);
  await assert.rejects(
    runMachine({
      ...payloadConfig("hello", disk.path),
      "boot-source": { kernel_image_path: new Uint8Array(4096) },
    }),
    /is no kernel/,
  );
  await descriptorsAgain(before);
  // And the disk is free again.
  const { end } = await runMachine(payloadConfig("hello", disk.path));
  assert.equal(end.reason, "reset");
});

kvmTest("Machine: two machines can't write to one image", async () => {
  using disk = new ScratchFile(1 << 20);
  await using first = await TestMachine.create(payloadConfig("", disk.path));
  assert.ok(first);
  const second = TestMachine.create(payloadConfig("", disk.path));
  await assert.rejects(second, /another machine uses it/);
});
