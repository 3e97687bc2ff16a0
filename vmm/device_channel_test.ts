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
