/** Devices without virtio of the user's own. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { buildElf } from "../../guest/testing/mod.ts";
import { resolve } from "../config/mod.ts";
import type { VmConfig } from "../config/types.ts";
import { Machine } from "../machine.ts";
import { TestMachine } from "../testing/mod.ts";
import { type BusDeviceConfig, PLAIN } from "./plain.ts";

const ADDRESS = 0xc100_0000, PORT = 0x5000;

/** A module whose class has this body. */
function moduleOf(body: string): string {
  const source = `export default class { ${body} }`;
  return `data:text/javascript,${encodeURIComponent(source)}`;
}

/** Counts writes from `options` on, and gives their number. */
const COUNTER = moduleOf(`
  constructor(from) { this.count = from ?? 0; }
  read() { return this.count; }
  write() { this.count++; }
  save() { return this.count; }
  restore(count) { this.count = count; }
  command() { return this.count; }`);
/** The same on the vCPUs. */
const SHARED = moduleOf(`
  attach(context) { this.words = new Int32Array(context.shared); }
  read() { return Atomics.load(this.words, 0); }
  write() { Atomics.add(this.words, 0, 1); }`);

const le = (value: number) => [0, 8, 16, 24].map((bit) => value >>> bit & 0xff);
/** `mov dx, 0x3f8; out dx, al` */
const PRINT = [0x66, 0xba, 0xf8, 0x03, 0xee];
/** `mov ebx, address`: then `[rbx]` is written, read, and printed as a digit. */
const MMIO = [
  ...[0xbb, ...le(ADDRESS), 0x88, 0x03, 0x88, 0x03, 0x8b, 0x03],
  ...[0x04, 0x30, ...PRINT],
];
/** The same by a port. */
const PIO = [
  ...[0x66, 0xba, PORT & 0xff, PORT >> 8, 0xee, 0xee, 0xec],
  ...[0x04, 0x30, ...PRINT],
];
const RESET = [0xb0, 0xfe, 0xe6, 0x64, 0xeb, 0xfe];
const SPIN = [0xeb, 0xfe];

function config(
  code: number[],
  devices: BusDeviceConfig[],
  machine: VmConfig["machine-config"] = {},
): VmConfig {
  const bytes = Uint8Array.from(code);
  const kernel = buildElf({ segments: [{ address: 0x10_0000n, bytes }] });
  // A vCPU waits for the device worker, also on a crowded host.
  const timeout_ms = 600_000;
  return {
    "boot-source": { kernel_image_path: kernel, boot_args: "" },
    "machine-config": { mem_size_mib: 8, ...machine },
    "bus-devices": devices.map((device) => ({ timeout_ms, ...device })),
  };
}

for (const transport of ["mmio", "pci"] as const) {
  Deno.test(needing([KVM], {
    name:
      `bus devices: memory and ports, on the device worker and on the vCPU, beside ${transport}`,
    async fn() {
      for (const thread of ["device", "vcpu"] as const) {
        const on = thread === "device"
          ? { module: COUNTER, options: 3 }
          : { module: SHARED, shared: 4, thread };
        const rng = transport === "pci" ? {} : { entropy: {} };
        await using test = await TestMachine.create({
          ...config([...MMIO, ...PIO, ...RESET], [
            { ...on, mmio: 4 },
            { ...on, port: 1 },
          ], { transport }),
          ...rng,
        });
        const { end, output, log } = await test.run();
        assert.equal(end.reason, "reset", end.message);
        assert.equal(output, thread === "device" ? "55" : "22");
        assert.deepEqual(log, []);
      }
    },
  }));
}

Deno.test(needing([KVM], {
  name:
    "bus devices: their state, and what vCPUs share of it, is in a snapshot",
  async fn() {
    const again = [
      ...MMIO,
      ...PIO,
      0x66,
      0xba,
      0xfd,
      3,
      0xec,
      0xa8,
      1,
      0x74,
      0xf7,
    ]; // until input
    const back = 256 - again.length - 9;
    // in al, RBR; jmp to the start
    const code = [...again, 0x66, 0xba, 0xf8, 3, 0xec, 0xeb, back + 2];
    await using test = await TestMachine.create(
      config(code, [{ module: COUNTER, name: "a", mmio: 4 }, {
        ...{ module: SHARED, name: "b", shared: 4, thread: "vcpu" },
        port: 1,
      }]),
    );
    const { machine } = test;
    machine.start();
    await test.printed("22");
    using snapshot = await machine.snapshot();
    const go = () => machine.input(Uint8Array.of(1));
    go();
    await test.printed("2244");
    await machine.reset(snapshot);
    assert.equal(await machine.command("a", null), 2);
    go();
    await until(() => test.output === "224444", "as before", () => test.output);
    await using twin = await TestMachine.of((options) =>
      Machine.restore(snapshot, {}, options)
    );
    twin.machine.start();
    twin.machine.input(Uint8Array.of(1));
    await twin.printed("44");
    const bad = structuredClone(snapshot.state);
    bad.devices[1]!.data = { level: 2, shared: "" };
    Object.defineProperty(snapshot, "state", { value: bad });
    await assert.rejects(Machine.restore(snapshot), {
      message: "b: no such state",
    });
  },
}));

const REFUSED: Record<string, [Partial<BusDeviceConfig>[], RegExp]> = {
  "no size": [[{}], /bus-devices\[0\]: mmio or port is needed, one of them/],
  "two sizes": [[{ mmio: 4, port: 4 }], /mmio or port is needed/],
  "a window in RAM": [
    [{ mmio: 4, address: 4096 }],
    /address: 0x1000 to 0x1003 is for RAM/,
  ],
  "a virtio window": [
    [{ mmio: 4, address: 0xc000_1000 }],
    /where the boot timer and virtio/,
  ],
  "the interrupt controllers": [
    [{ mmio: 4, address: 0xfee0_0000 }],
    /interrupt contr/,
  ],
  "beyond 4 GiB": [[{ mmio: 4, address: 0xffff_fffe }], /interrupt contr/],
  "COM1": [
    [{ port: 8, address: 0x3f1 }],
    /0x3f1 to 0x3f8 is where the serial port is/,
  ],
  "PCI's port": [[{ port: 1, address: 0xcf9 }], /where PCI's configuration is/],
  "a port behind the last": [
    [{ port: 2, address: 0xffff }],
    /beyond the last port/,
  ],
  "overlapping windows": [
    [{ mmio: 8, address: ADDRESS }, { mmio: 8, address: ADDRESS + 4 }],
    /bus-devices\[1\].address: 0xc1000004 to 0xc100000b is where another bus device is/,
  ],
  "overlapping ports": [
    [{ port: 8, address: 0x300 }, { port: 1, address: 0x307 }],
    /where another bus device is/,
  ],
  "one name twice": [
    [{ port: 1, name: "a" }, { port: 1, name: "a" }],
    /name: "a"/,
  ],
  "PRP0001 alone": [[{ port: 1, hid: "PRP0001" }], /PRP0001 needs compatible/],
  "an id that is none": [[{ port: 1, hid: "uart" }], /hid: .*PNP0501/],
  "another thread": [
    [{ port: 1, thread: "x" as "vcpu" }],
    /thread: .*device.*vcpu/,
  ],
  "too many ports": [[{ port: 257 }], /port: .*1 to 256/],
};
Deno.test("bus devices: what is taken, or none, is refused in one line each", () => {
  for (const [what, [devices, message]] of Object.entries(REFUSED)) {
    const all = devices.map((device) => ({ module: COUNTER, ...device }));
    assert.throws(() => resolve(config(SPIN, all)), (error: Error) => {
      assert.match(error.message, message, what);
      assert.doesNotMatch(error.message, /\n.*\n/, what);
      return true;
    }, what);
  }
});

Deno.test("bus devices: without an address they are where nothing else is", () => {
  const places = PLAIN.inOrder!(
    [
      { port: 8, address: 0x5008 },
      { port: 8 },
      { port: 16 },
      { mmio: 4, address: 0xc100_1000 },
      { mmio: 5000 },
      { mmio: 1 },
    ].map((device) => ({
      ...{ module: COUNTER, thread: "device", shared: 0 },
      ...device,
    })) as unknown as Parameters<NonNullable<typeof PLAIN.inOrder>>[0],
  );
  assert.deepEqual(places.map(({ address }) => address.toString(16)), [
    ...["5008", "5000", "5010"],
    ...["c1001000", "c1002000", "c1000000"],
  ]);
});

const FAILURES: Record<string, [string, RegExp, string]> = {
  "throws": ["read() { throw new Error('oh'); }", /: Error: oh/, "\x2f"],
  "breaks a promise": [
    "async read() { await null; throw new Error('oh'); }",
    /: Error: oh/,
    "\x2f",
  ],
  "returns nonsense": [
    "read() { return {}; }",
    /read returned .*, no whole/,
    "\x2f",
  ],
  "promises nonsense": [
    "async read() { return 1.5; }",
    /read returned 1.5/,
    "\x2f",
  ],
  "takes its time": [
    "read() { return new Promise((go) => setTimeout(go, 10, 4)); }",
    /^$/,
    "4",
  ],
};
for (const [how, [read, message, output]] of Object.entries(FAILURES)) {
  Deno.test(needing([KVM], {
    name: `bus devices: one whose read ${how}: the guest goes on`,
    async fn() {
      for (const thread of ["device", "vcpu"] as const) {
        if (thread === "vcpu" && /async|Promise/.test(read)) continue;
        const module = moduleOf(`${read} write() {}`);
        await using test = await TestMachine.create(
          config([...PIO, ...RESET], [{ module, name: "x", port: 1, thread }]),
        );
        const run = await test.run();
        assert.equal(run.end.reason, "reset", run.end.message);
        assert.equal(run.output, output, thread);
        assert.match(run.log.join("\n"), message);
        assert.ok(run.log.every((line) => line.startsWith("x: ")));
      }
    },
  }));
}

Deno.test(needing([KVM], {
  name:
    "bus devices: one that never answers holds up no end; a class that is none is named",
  async fn() {
    const module = moduleOf(
      "read() { return new Promise(() => {}); } write() {}",
    );
    {
      await using test = await TestMachine.create(
        config([...PIO, ...RESET], [{ module, port: 1 }]),
      );
      test.machine.start();
      await until(() => test.machine.exits > 0, "an access");
      assert.equal((await test.machine.stop()).reason, "stopped");
    }
    {
      const never = "() { return new Promise(() => {}); }";
      const module = moduleOf(`read${never} write${never}`);
      await using test = await TestMachine.create(
        config([...PIO, ...RESET], [
          { module, name: "x", port: 1, timeout_ms: 20 },
        ]),
      );
      const { end, output, log } = await test.run();
      assert.equal(end.reason, "reset", end.message);
      assert.equal(output, "\x2f", "all ones");
      const line = (what: string) =>
        `x: has not answered a ${what} at 0x0 for 0.02 s; the vCPU goes on`;
      assert.deepEqual(log, ["write", "write", "read"].map(line));
    }
    const wrong: Record<string, RegExp> = {
      "read() {}": /: write is no method$/,
      "write() {}": /: read is no method$/,
      "read() {} write() {} save = 1;": /: save is no method$/,
      "constructor() { throw new TypeError('by me'); }": /: TypeError: by me$/,
    };
    for (const [body, message] of Object.entries(wrong)) {
      for (const thread of ["device", "vcpu"] as const) {
        const module = moduleOf(body);
        await assert.rejects(
          TestMachine.create(config(SPIN, [{ module, port: 1, thread }])),
          (error: Error) => {
            assert.match(error.message, message);
            assert.ok(error.message.startsWith(`device ${module}: `));
            return true;
          },
        );
      }
    }
    const unsaved = moduleOf("read() {} write() {}");
    await using test = await TestMachine.create(
      config(SPIN, [{ module: unsaved, name: "x", port: 1 }]),
    );
    test.machine.start();
    await assert.rejects(test.machine.snapshot(), {
      message: "x: can't be saved: the device has no save()",
    });
    assert.equal(test.machine.state, "running");
  },
}));
