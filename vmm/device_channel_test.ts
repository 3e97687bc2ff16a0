/** Commands from a machine's owner to its devices. */
import assert from "node:assert/strict";
import { VireoError } from "../ffi/error.ts";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { buildElf } from "../guest/testing/mod.ts";
import type { VmConfig } from "./config/types.ts";
import { ScratchFile, TestMachine } from "./testing/mod.ts";

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
const SILENT = `${DEVICE}%0A//`;

/** A guest that spins for ever, with two devices. */
function config(): VmConfig {
  const jumpToItself = Uint8Array.of(0xeb, 0xfe);
  const kernel = buildElf({
    segments: [{ address: 0x10_0000n, bytes: jumpToItself }],
  });
  return {
    "boot-source": { kernel_image_path: kernel, boot_args: "" },
    "machine-config": { mem_size_mib: 8 },
    devices: [{ module: SILENT }, { module: DEVICE }],
  };
}

Deno.test(needing([KVM], {
  name: "Machine.command: answers in order, also while paused",
  async fn() {
    await using test = await TestMachine.create(config());
    const { machine } = test;
    const early = machine.command(DEVICE, { early: true });
    machine.start();
    assert.deepEqual(await early, { count: 1, early: true });
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => machine.command(DEVICE, { i })),
    );
    assert.deepEqual(
      answers,
      Array.from({ length: 50 }, (_, i) => ({ count: i + 2, i })),
    );
    await machine.pause();
    const bytes = Uint8Array.of(1, 2, 3);
    assert.deepEqual(await machine.command(DEVICE, { bytes }), {
      count: 52,
      bytes,
    });
    await machine.resume();
    assert.deepEqual(await machine.command(SILENT, {}), { count: 1 });
  },
}));

Deno.test(needing([KVM], {
  name: "Machine.command: what a device objects to is an error",
  async fn() {
    await using test = await TestMachine.create(config());
    test.machine.start();
    await assert.rejects(
      test.machine.command(DEVICE, { fail: "so" }),
      new VireoError("refused: so"),
    );
    assert.deepEqual(await test.machine.command(DEVICE, {}), { count: 1 });
    await assert.rejects(
      test.machine.command("disk", {}),
      new VireoError("this machine has no disk"),
    );
  },
}));

Deno.test(needing([KVM], {
  name: "Machine.command: a machine ends, whatever was just sent",
  async fn() {
    for (const paused of [false, true]) {
      const test = await TestMachine.create(config());
      const { machine } = test;
      machine.start();
      await machine.command(DEVICE, {});
      if (paused) await machine.pause();
      const ends = Array.from(
        { length: 50 },
        () =>
          machine.command(DEVICE, {}).then(
            () => "answered",
            ({ message }) => message,
          ),
      );
      await machine.stop();
      for (const end of await Promise.all(ends)) {
        assert.match(end, /^answered$|the machine has ended/);
      }
    }
  },
}));

Deno.test(needing([KVM], {
  name: "Machine.command: after the end nobody waits for an answer",
  async fn() {
    using disk = new ScratchFile(4096);
    const drive = {
      drive_id: "disk",
      path_on_host: disk.path,
      is_root_device: false,
    };
    await using test = await TestMachine.create({
      ...config(),
      drives: [drive],
      devices: [],
    });
    const never = test.machine.command("disk", {}); // it is not started
    const ended = assert.rejects(never, /the machine has ended/);
    await test.machine.stop();
    await ended;
    await assert.rejects(
      test.machine.command("disk", {}),
      /the machine has ended/,
    );
  },
}));

Deno.test(needing([KVM], {
  name:
    "Machine.command: what is no plain data is refused, and leaves nothing behind",
  async fn() {
    const unhandled: unknown[] = [];
    const heard = (event: PromiseRejectionEvent) => {
      event.preventDefault();
      unhandled.push(event.reason);
    };
    globalThis.addEventListener("unhandledrejection", heard);
    try {
      const test = await TestMachine.create(config());
      const { machine } = test;
      machine.start();
      for (const bad of [() => {}, Symbol("s"), { deep: [() => {}] }]) {
        await assert.rejects(
          machine.command(DEVICE, bad),
          (error) =>
            error instanceof VireoError && /^command: /.test(error.message),
        );
      }
      assert.deepEqual(await machine.command(DEVICE, {}), { count: 1 });
      await machine.stop();
      await new Promise((done) => setTimeout(done, 0));
      assert.deepEqual(unhandled, []);
    } finally {
      globalThis.removeEventListener("unhandledrejection", heard);
    }
  },
}));

Deno.test(needing([KVM], {
  name: "Machine.command: two devices of one module have names of their own",
  async fn() {
    const devices = [
      { module: DEVICE },
      { module: DEVICE },
      { module: DEVICE, name: "third" },
      { module: DEVICE },
    ];
    await using test = await TestMachine.create({ ...config(), devices });
    const names = [DEVICE, `${DEVICE}#2`, "third", `${DEVICE}#3`];
    for (const [index, name] of names.entries()) {
      for (let count = 1; count <= index + 1; count++) {
        assert.deepEqual(await test.machine.command(name, {}), { count });
      }
    }
    const twice = [{ module: DEVICE, name: "a" }, {
      module: SILENT,
      name: "a",
    }];
    await assert.rejects(
      TestMachine.create({ ...config(), devices: twice }),
      { message: 'devices[1].name: "a" is that of devices[0] already' },
    );
  },
}));
