/** Modules of the user's own that are wrong: told before the start, by name. */
import assert from "node:assert/strict";
import { VireoError } from "../../ffi/error.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { buildElf } from "../../guest/testing/mod.ts";
import type { VmConfig } from "../config/types.ts";
import type { Machine } from "../machine.ts";
import { ScratchFile, TestMachine } from "../testing/mod.ts";

const DEVICE = `data:text/javascript,${
  encodeURIComponent(`export default class {
    deviceId = 63;
    features = [0, 0];
    queueSizes = [8];
    config = new Uint8Array();
    #count = 0;
    attach() {}
    activate() {}
    notify() {}
    reset() {}
    close() {}
    command(command) {
      if (command.fail) throw new Error("refused: " + command.fail);
      return { count: ++this.#count, ...command };
    }
  }`)
}`;
/** A guest that spins for ever, with one device. */
function config(): VmConfig {
  const jumpToItself = Uint8Array.of(0xeb, 0xfe);
  const kernel = buildElf({
    segments: [{ address: 0x10_0000n, bytes: jumpToItself }],
  });
  return {
    "boot-source": { kernel_image_path: kernel, boot_args: "" },
    "machine-config": { mem_size_mib: 8 },
    devices: [{ module: DEVICE }],
  };
}

/** A module whose class has these properties instead of those of a device. */
function moduleOf(properties: string): string {
  const source = decodeURIComponent(DEVICE.split(",")[1]!)
    .replace("command(", `${properties}\n command(`);
  return `data:text/javascript,${encodeURIComponent(source)}`;
}

const NO_DEVICES: Record<string, [module: string, message: RegExp]> = {
  "id 0": [moduleOf("deviceId = 0;"), /deviceId 0 is not 1 to 2\^32 - 1$/],
  "no id": [moduleOf("deviceId = undefined;"), /deviceId undefined is not/],
  "an id of NaN": [moduleOf("deviceId = NaN;"), /deviceId NaN is not/],
  "an id as text": [moduleOf("deviceId = '4';"), /deviceId 4 is not/],
  "a large id": [moduleOf("deviceId = 2 ** 32;"), /deviceId 4294967296 is not/],
  "features of one word": [
    moduleOf("features = [1];"),
    /features \[1\] are not/,
  ],
  "features as bigints": [
    moduleOf("features = [1n, 1n];"),
    /features \[1,1\] are not two words/,
  ],
  "a queue of 3": [moduleOf("queueSizes = [8, 3];"), /a queue of 3 is not a/],
  "a queue of 0": [moduleOf("queueSizes = [0];"), /a queue of 0 is not a/],
  "100 queues": [
    moduleOf("queueSizes = Array(100).fill(8);"),
    /queueSizes is not a list of at most 30$/,
  ],
  "a config that is a list": [
    moduleOf("config = [1];"),
    /config is not a Uint8Array/,
  ],
  "a large config": [
    moduleOf("config = new Uint8Array(5000);"),
    /config is not a Uint8Array of at most 2048 bytes/,
  ],
  "no reset": [moduleOf("reset = 1;"), /reset is no method$/],
  "a poll that is no method": [moduleOf("poll = 1;"), /poll is no method$/],
  "a constructor that throws": [
    moduleOf("x = (() => { throw new TypeError('by me') })();"),
    /: TypeError: by me$/,
  ],
  "no class": ["data:text/javascript,export default 5", /is no class$/],
  "no default export": [
    "data:text/javascript,export const a = 5",
    /is no class/,
  ],
  "an arrow function": [
    "data:text/javascript,export default () => {}",
    /TypeError: .*not a constructor/,
  ],
  "a syntax error": ["data:text/javascript,export default {", /SyntaxError: /],
  "an import that isn't there": [
    "data:text/javascript,import 'file:///nowhere.ts'",
    /TypeError: Module not found "file:\/\/\/nowhere.ts"/,
  ],
  "one that throws": [
    "data:text/javascript,throw new Error('bad module')",
    /: Error: bad module$/,
  ],
  "one that is not there": ["file:///nowhere/at/all.ts", /Module not found/],
};

for (const [what, [module, message]] of Object.entries(NO_DEVICES)) {
  Deno.test(needing([KVM], {
    name:
      `own devices: ${what} is refused before the start, with the module's name`,
    async fn() {
      const devices = [{ module: DEVICE }, { module }];
      await assert.rejects(
        TestMachine.create({ ...config(), devices }),
        (error: Error) => {
          assert.ok(error instanceof VireoError, String(error));
          assert.match(error.message, message);
          assert.ok(error.message.startsWith(`device ${module}: `));
          assert.doesNotMatch(error.message, /\n/, "one line");
          return true;
        },
      );
    },
  }));
}

Deno.test(needing([KVM], {
  name:
    "own devices: one that can be saved is; one that can't is named, and goes on",
  async fn() {
    const module = moduleOf(`quiesce() {}
      save() { return { count: this.#count }; }
      restore({ count }) { this.#count = count; }`);
    const ready = moduleOf("quiesce() {} save() { return () => {}; }");
    const count = async (machine: Machine) =>
      (await machine.command("mine", {}) as { count: number }).count;
    const named = { ...config(), devices: [{ module, name: "mine" }] };
    await using first = await TestMachine.create(named);
    first.machine.start();
    assert.equal(await count(first.machine), 1);
    using snapshot = await first.machine.snapshot();
    assert.deepEqual(snapshot.state.devices[0]!.data, { count: 1 });
    assert.equal(await count(first.machine), 2);
    const own = (module: string) => ({
      ...config(),
      devices: [{ module, name: "mine" }],
    });
    await using bad = await TestMachine.create(own(ready));
    bad.machine.start();
    const message = /^mine: .*could not be cloned/;
    await assert.rejects(bad.machine.snapshot(), { message });
    assert.equal(await count(bad.machine), 1, "it goes on");
    // As long as no driver uses it, there is nothing to be quiet about.
    await using other = await TestMachine.create(own(DEVICE));
    other.machine.start();
    using unused = await other.machine.snapshot();
    assert.equal(unused.state.devices[0]!.data, undefined);
  },
}));

Deno.test(needing([KVM], {
  name:
    "own networks: a module without a function is refused before the start, by its name",
  async fn() {
    const bad: [module: string, message: RegExp][] = [
      ["data:text/javascript,export const a = 1", /export is no function$/],
      ["data:text/javascript,export default {}", /export is no function$/],
      ["data:text/javascript,throw new Error('bad')", /: Error: bad$/],
      ["file:///nowhere/at/all.ts", /Module not found/],
    ];
    for (const [handler, message] of bad) {
      const networks = [{ iface_id: "eth0", handler }];
      await assert.rejects(
        TestMachine.create({ ...config(), "network-interfaces": networks }),
        (error: Error) => {
          assert.ok(error.message.startsWith(`network handler ${handler}: `));
          assert.match(error.message, message);
          return true;
        },
      );
    }
  },
}));

/** A guest that resets the machine at once. */
function resets(module: string): VmConfig {
  // mov al, 0xfe; out 0x64, al; jmp to itself
  const bytes = Uint8Array.of(0xb0, 0xfe, 0xe6, 0x64, 0xeb, 0xfe);
  const kernel = buildElf({ segments: [{ address: 0x10_0000n, bytes }] });
  return {
    ...config(),
    "boot-source": { kernel_image_path: kernel, boot_args: "" },
    devices: [{ module }],
  };
}

Deno.test(needing([KVM], {
  name: "own devices: what fails while the machine ends is a failure of it",
  async fn() {
    for (const method of ["reset", "close"]) {
      const module = moduleOf(
        `${method} = () => { throw new Error("late"); };`,
      );
      await using test = await TestMachine.create(resets(module));
      const { reason, message } = (await test.run()).end;
      assert.equal(reason, "error", method);
      assert.match(message!, /^Error: late\n/);
    }
    await using test = await TestMachine.create(resets(DEVICE));
    assert.deepEqual((await test.run()).end.reason, "reset");
  },
}));

Deno.test(needing([KVM], {
  name: "Machine.command: a name that two devices have is for neither",
  async fn() {
    using disk = new ScratchFile(4096);
    const drives = [
      { drive_id: "x", path_on_host: disk.path, is_root_device: false },
    ];
    const devices = [{ module: DEVICE, name: "x" }];
    await using test = await TestMachine.create({
      ...config(),
      drives,
      devices,
    });
    await assert.rejects(
      test.machine.command("x", {}),
      new VireoError("this machine has two devices called x"),
    );
  },
}));
