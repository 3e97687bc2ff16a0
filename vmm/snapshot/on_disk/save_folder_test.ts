/** Snapshots in folders: who may save, read and remove at the same time. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../../ffi/testing/needs.ts";
import { Random } from "../../../guest/testing/random.ts";
import { readPayload } from "../../../images/payload/payload.ts";
import { Machine } from "../../machine.ts";
import { openFolder, verifyFolder } from "./folder.ts";
import { saveFolder } from "./save_folder.ts";
import { folderUse, removeFolder } from "./use.ts";

const PROGRAM =
  new URL("../../testing/save_forever.ts", import.meta.url).pathname;
const KILLS = 50;
/** Longer than one save takes, in milliseconds. */
const SPAN = 30;

/** A folder with a snapshot of a small guest, and room for others. */
class Scratch implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  readonly first = `${this.path}/first`;

  static async create(): Promise<Scratch> {
    const scratch = new Scratch();
    await using machine = await Machine.create({
      "boot-source": {
        kernel_image_path: await readPayload(),
        boot_args: "idle",
      },
      "machine-config": { mem_size_mib: 8 },
    });
    await machine.pause(); // it begins so
    machine.start();
    using snapshot = await machine.snapshot();
    snapshot.save(scratch.first);
    return scratch;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

function names(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
}

/** A process that saves for ever, at the beginning of its `nth` time. */
async function saver(
  from: string,
  to: string,
  nth = 1,
): Promise<Deno.ChildProcess> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", PROGRAM, from, to],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  const decoder = new TextDecoder();
  for (let said = ""; said.split("\n").length <= nth;) {
    const { value } = await reader.read();
    assert.ok(value, said);
    said += decoder.decode(value);
  }
  reader.releaseLock();
  return child;
}

async function kill(child: Deno.ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  await Promise.all([child.status, child.stdout.cancel()]);
}

Deno.test(needing([KVM], {
  name:
    "snapshot folder: 50 kills in the middle of saves leave the old one or the new one",
  async fn() {
    using scratch = await Scratch.create();
    const random = new Random(1);
    const states = new Set<string>();
    let left = 0;
    const killed = async (to: string) => {
      const child = await saver(scratch.first, to, 1 + random.below(3));
      const time = SPAN * random.below(1000) / 1000;
      await new Promise((done) => setTimeout(done, time));
      await kill(child);
      if (folderUse(to) === undefined) return; // in the middle of the first
      verifyFolder(to);
      states.add(Deno.readTextFileSync(`${to}/state.json`));
      if (names(to).length > 2) left++;
    };
    const lanes = [0, 1].map(async (lane) => {
      const to = `${scratch.path}/${lane}`;
      for (let i = lane; i < KILLS; i += 2) await killed(to);
      using opened = openFolder(scratch.first);
      saveFolder(opened.snapshot, to);
      assert.equal(names(to).length, 2, "what killed processes left is gone");
    });
    await Promise.all(lanes);
    assert.ok(states.size > 10, `${states.size} snapshots were seen`);
    assert.ok(left > 5, `only ${left} were killed in the middle`);
  },
}));

Deno.test(needing([KVM], {
  name:
    "snapshot folder: several that save there at once, and one that reads, harm nobody",
  async fn() {
    using scratch = await Scratch.create();
    const to = `${scratch.path}/shared`;
    const savers = [
      await saver(scratch.first, to),
      await saver(scratch.first, to),
    ];
    const states = new Set<string>();
    using opened = openFolder(scratch.first);
    for (let i = 0; i < 20; i++) {
      if (folderUse(to)) verifyFolder(to);
      saveFolder(opened.snapshot, to, { sync: i % 4 === 0 });
      states.add(Deno.readTextFileSync(`${to}/state.json`));
    }
    assert.ok(states.size > 5, `${states.size} snapshots`);
    for (const child of savers) await kill(child);
    saveFolder(opened.snapshot, to);
    verifyFolder(to);
    assert.equal(names(to).length, 2, names(to).join());
  },
}));

Deno.test(needing([KVM], {
  name:
    "snapshot folder: which process runs on it is known, and it is not removed meanwhile",
  async fn() {
    using scratch = await Scratch.create();
    const { first } = scratch;
    assert.deepEqual(folderUse(first)?.users, []);
    assert.equal(folderUse(scratch.path), undefined);
    Deno.writeTextFileSync(`${first}/notes`, "mine");
    {
      await using machine = await Machine.restore(first);
      machine.start();
      assert.deepEqual(folderUse(first)?.users, [Deno.pid]);
      assert.throws(() => removeFolder(first), {
        message: `snapshot "${first}": is in use by ${Deno.pid}`,
      });
      verifyFolder(first);
      using opened = openFolder(first);
      saveFolder(opened.snapshot, first);
      const use = folderUse(first)!;
      assert.ok(use.replaced > 0 && use.onDisk > use.replaced);
    }
    removeFolder(first);
    assert.deepEqual(names(first), ["notes"]);
    assert.throws(() => removeFolder(first), /there is none/);
    assert.throws(() => removeFolder(`${first}/none`), /there is none/);
    Deno.removeSync(`${first}/notes`);
    // One that nobody can read any more goes, too.
    Deno.writeTextFileSync(`${first}/state.json`, "{");
    removeFolder(first);
    assert.throws(() => Deno.lstatSync(first), Deno.errors.NotFound);
  },
}));
