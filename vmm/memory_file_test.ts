/** A memory file that somebody spoils while its guest runs. */
import assert from "node:assert/strict";
import { MountedFolder, run } from "../ffi/testing/loop.ts";
import { KVM, needing, root } from "../ffi/testing/needs.ts";
import { GuestMemory } from "../guest/memory.ts";
import { MiB } from "../guest/layout.ts";
import { readPayload } from "../images/payload/payload.ts";
import { ScratchFile, TestMachine } from "./testing/mod.ts";

const payload = await readPayload();

/** A machine whose guest writes to a disk for ever, with its RAM in `file`. */
async function busy(file: string, disk: ScratchFile): Promise<TestMachine> {
  const test = await TestMachine.create({
    "boot-source": { kernel_image_path: payload, boot_args: "journal" },
    "machine-config": { mem_size_mib: 16, memory_file: file },
    drives: [
      { drive_id: "d", path_on_host: disk.path, is_root_device: false },
    ],
  });
  test.machine.start();
  await test.printed("journal: 3");
  return test;
}

for (const bytes of [0, 64 * 1024, 1025 * 1024]) {
  Deno.test(needing([KVM], {
    name: `memory file: cut to ${bytes} bytes, it ends the machine by its name`,
    async fn() {
      using folder = new ScratchFolder();
      using disk = new ScratchFile(MiB);
      const file = `${folder.path}/ram`;
      await using test = await busy(file, disk);
      Deno.truncateSync(file, bytes);
      assert.deepEqual(await test.machine.wait(), {
        reason: "error",
        message: `memory file "${file}": was cut to ${bytes} bytes`,
      });
    },
  }));
}

Deno.test(needing([KVM, root("mounts a file system")], {
  name:
    "memory file: with holes, and no room to fill them, it ends the machine by its name",
  async fn() {
    using folder = new MountedFolder("-t", "tmpfs", "-o", "size=20m", "test");
    using disk = new ScratchFile(MiB);
    const file = `${folder.path}/ram`;
    await using test = await busy(file, disk);
    await test.machine.pause();
    // All but what holds the guest's code, as it might have given it back.
    run(
      "fallocate",
      "--punch-hole",
      "--offset",
      "0",
      "--length",
      `${16 * MiB}`,
      file,
    );
    fill(`${folder.path}/ballast`);
    await test.machine.resume();
    const { reason, message } = await test.machine.wait();
    assert.equal(reason, "error");
    assert.match(
      message!,
      /^memory file ".*\/ram": no room for what was given back: ENOSPC/,
    );
  },
}));

/** Takes all room that there is. */
function fill(path: string): void {
  using file = Deno.openSync(path, { create: true, write: true });
  try {
    for (;;) file.writeSync(new Uint8Array(4096));
  } catch { /* that was all */ }
}

class ScratchFolder implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "vireo-test-" });

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** Reads bytes at addresses that it is told. */
const READER = `data:text/javascript,${
  encodeURIComponent(`self.onmessage = ({ data }) => {
    const pointer = Deno.UnsafePointer.create(BigInt(data));
    self.postMessage(new Deno.UnsafePointerView(pointer).getUint8(0));
  };`)
}`;

Deno.test("GuestMemory: a thread that needs a page which is gone gets an empty one, and it is told", async () => {
  using folder = new ScratchFolder();
  const file = `${folder.path}/ram`;
  for (let round = 0; round < 2; round++) {
    using memory = GuestMemory.allocate(MiB, { file });
    memory.bytes(0, MiB).fill(7);
    const told: string[] = [];
    using _watch = memory.onLost((reason) => told.push(reason));
    const reader = new Worker(READER, { type: "module" });
    const read = (at: number) =>
      new Promise((done, failed) => {
        reader.onmessage = ({ data }) => done(data);
        reader.onerror = failed;
        reader.postMessage(memory.regions[0]!.hostAddress + at);
      });
    assert.equal(await read(5000), 7);
    Deno.truncateSync(file, 4096);
    assert.equal(await read(5000), 0);
    assert.equal(await read(0), 0, "all is empty");
    assert.deepEqual(told, [`memory file "${file}": was cut to 4096 bytes`]);
    reader.terminate();
  }
});
