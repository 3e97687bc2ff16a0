/** A machine whose threads the host doesn't let go. */
import assert from "node:assert/strict";
import {
  LOOP_DEVICES,
  LoopDevice,
  MountedFolder,
  run,
} from "../ffi/testing/loop.ts";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { until } from "../ffi/testing/until.ts";
import { MiB } from "../guest/layout.ts";
import { readPayload } from "../images/payload/payload.ts";
import { releasedInTime } from "./giving_up.ts";
import { ScratchFile, TestMachine } from "./testing/mod.ts";

const payload = await readPayload();

/** Until it is disposed of, writes to a file system wait for ever. */
class Frozen implements Disposable {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
    run("fsfreeze", "--freeze", path);
  }

  [Symbol.dispose](): void {
    run("fsfreeze", "--unfreeze", this.#path);
  }
}

/** Threads of this process that wait in the kernel, and hear no signal. */
function deaf(): string[] {
  return Deno.readDirSync("/proc/self/task").flatMap(({ name }) => {
    try {
      const stat = Deno.readTextFileSync(`/proc/self/task/${name}/stat`);
      return stat.slice(stat.lastIndexOf(")")).startsWith(") D") ? [name] : [];
    } catch {
      return []; // ended meanwhile
    }
  }).toArray();
}

/** Waits until so many threads wait for a frozen file system: they stay. */
async function stuck(count: number): Promise<void> {
  let before: string[] = [];
  await until(
    () => {
      const now = deaf();
      const stay = now.filter((thread) => before.includes(thread));
      before = now;
      return stay.length >= count;
    },
    `${count} threads that wait`,
    deaf,
  );
}

Deno.test(needing([KVM, LOOP_DEVICES, "mke2fs", "fsfreeze"], {
  name:
    "Machine: a frozen file system doesn't keep it from its end, and what it holds goes later",
  async fn() {
    using file = new ScratchFile(16 * MiB);
    using loop = new LoopDevice(file.path);
    run("mke2fs", "-q", "-t", "ext4", loop.path);
    using folder = new MountedFolder(loop.path);
    using socket = new ScratchFile(0);
    const uds_path = `${socket.path}-vsock`;
    const disks = ["plain", "direct"].map((name) => {
      const path_on_host = `${folder.path}/${name}`;
      Deno.writeFileSync(path_on_host, new Uint8Array(MiB));
      return { name, path_on_host };
    });
    const tests = await Promise.all(
      disks.map(async ({ name, path_on_host }) => {
        const direct = name === "direct";
        const test = await TestMachine.create({
          "boot-source": { kernel_image_path: payload, boot_args: "journal" },
          "machine-config": { mem_size_mib: 16 },
          drives: [
            { drive_id: name, path_on_host, is_root_device: false, direct },
          ],
          ...(direct ? {} : { vsock: { guest_cid: 3, uds_path } }),
        });
        test.machine.start();
        await test.printed("journal: 3");
        return test;
      }),
    );
    {
      using _frozen = new Frozen(folder.path);
      await stuck(tests.length); // not when they only print no more
      for (const end of tests.map(({ machine }) => machine.stop())) {
        assert.deepEqual(await end, { reason: "stopped" });
      }
      for (const { machine, log } of tests) {
        assert.match(log.join(), /the host does not finish what the guest has/);
        assert.equal(machine.state, "ending");
      }
      assert.throws(() => Deno.lstatSync(uds_path), Deno.errors.NotFound);
    }
    await until(
      () => tests.every(({ machine }) => machine.state === "ended"),
      "the ends",
    );
  },
}));

Deno.test("releasedInTime: the host is not blamed while threads are at work", async () => {
  const log: string[] = [];
  const ends = (released: Promise<void>) =>
    releasedInTime(
      released,
      { names: [] },
      (line) => log.push(line),
      undefined,
      10,
    );
  // Many times what threads have that wait.
  const code = "const end = performance.now() + 600;" +
    "while (performance.now() < end); postMessage(0)";
  const worker = new Worker(`data:text/javascript,${code}`, { type: "module" });
  const done = Promise.withResolvers<void>();
  worker.onmessage = () => done.resolve();
  await ends(done.promise);
  worker.terminate();
  assert.deepEqual(log, []);
  await ends(new Promise<void>(() => {}));
  assert.match(log.join(), /the host does not finish/);
});
