/** Diffs of snapshots, and whole ones made of them. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { viewOf } from "../../../ffi/memory/mmap.ts";
import { mappingsOfProcess } from "../../../ffi/testing/mmap.ts";
import { KVM, needing } from "../../../ffi/testing/needs.ts";
import { until } from "../../../ffi/testing/until.ts";
import { MiB } from "../../../guest/layout.ts";
import { readPayload } from "../../../images/payload/payload.ts";
import { Machine } from "../../machine.ts";
import { ScratchFile, TestMachine } from "../../testing/mod.ts";
import {
  lastRecord,
  recorded,
  recording,
  recordingOn,
} from "../../testing/records.ts";
import {
  compareMemory,
  describeFolder,
  mergeFolders,
  verifyFolder,
} from "../mod.ts";

const payload = await readPayload();

/** Folders for snapshots, removed at the end of the scope. */
class Folders implements Disposable {
  readonly #path = Deno.makeTempDirSync({ prefix: "vireo-test-" });

  of(name: string): string {
    return `${this.#path}/${name}`;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#path, { recursive: true });
  }
}

/** How many benchmarks are done. */
function benches({ output }: TestMachine): number {
  return output.split("bench: name=").length - 1;
}

function benched(test: TestMachine, count: number): Promise<void> {
  return until(
    () => benches(test) >= count,
    `${count} benchmarks`,
    () => test.output,
  );
}

/** What a folder's file of memory has in it. */
function memoryIn(folder: string): Uint8Array<ArrayBuffer> {
  const name = [...Deno.readDirSync(folder)].map(({ name }) => name)
    .find((name) => /^memory-/.test(name));
  return Deno.readFileSync(`${folder}/${name}`);
}

/** Both folders' files of memory have the same in them. */
function assertSameMemory(one: string, other: string): void {
  const [a, b] = [memoryIn(one), memoryIn(other)];
  assert.equal(a.length, b.length);
  assertSameBytes(a, b, 0);
}

/** At `offset`; by libc's comparison, and byte by byte only to say where. */
function assertSameBytes(a: Uint8Array, b: Uint8Array, offset: number): void {
  if (Buffer.compare(a, b) === 0) return;
  const wrong = a.findIndex((byte, i) => byte !== b[i]);
  assert.fail(`other bytes from ${offset + wrong} on`);
}

/** Waits until a restored machine has gone on. */
async function goesOn(folder: string, record: number): Promise<void> {
  using other = new ScratchFile(MiB);
  let output = "";
  await using machine = await Machine.restore(folder, recordingOn(other.path), {
    onOutput: (bytes) => output += new TextDecoder().decode(bytes),
  });
  machine.start();
  await recorded(() => output, record + 2);
}

for (
  const [name, options] of [
    ["by what is the machine's own", { base: true }],
    ["by comparison", {}],
  ] as const
) {
  Deno.test(needing([KVM], {
    name: `snapshot diffs: merged, they are the whole (${name})`,
    async fn() {
      using folders = new Folders();
      using disk = new ScratchFile(MiB);
      await using test = await TestMachine.create(recording(disk.path));
      const { machine } = test;
      machine.start();
      await test.printed("journal: 3\n");
      using first = await machine.snapshot(options);
      first.save(folders.of("first"));
      const before = lastRecord(test.output);
      await recorded(() => test.output, before + 20);
      using second = await machine.snapshot();
      second.save(folders.of("whole"));
      const sum = second.sha256;
      second.save(folders.of("second"), { since: first });
      await recorded(() => test.output, before + 40);
      using third = await machine.snapshot();
      third.save(folders.of("third"), { since: folders.of("whole") });
      third.save(folders.of("third whole"));

      const { size, onDisk } = describeFolder(folders.of("second")).memory;
      assert.equal(size, 16 * MiB);
      assert.ok(onDisk < 2 * MiB, `${onDisk} bytes`);
      const { since } = describeFolder(folders.of("third"));
      assert.equal(since, sum);
      verifyFolder(folders.of("second"));

      mergeFolders(
        folders.of("first"),
        folders.of("second"),
        folders.of("merged"),
      );
      assertSameMemory(folders.of("merged"), folders.of("whole"));
      const both = ["merged", "whole"].map((name) =>
        describeFolder(folders.of(name)).machine
      );
      assert.deepEqual(both[0], both[1]);
      await goesOn(folders.of("merged"), before + 20);

      mergeFolders(folders.of("whole"), folders.of("third")); // in its place
      assertSameMemory(folders.of("third"), folders.of("third whole"));
      assert.equal([...Deno.readDirSync(folders.of("third"))].length, 2);
      await goesOn(folders.of("third"), before + 40);
    },
  }));
}

Deno.test(needing([KVM], {
  name:
    "snapshot diffs: after a reset, and of a restored machine, they are right",
  async fn() {
    using folders = new Folders();
    using disk = new ScratchFile(MiB);
    {
      await using test = await TestMachine.create(recording(disk.path));
      const { machine } = test;
      machine.start();
      await test.printed("journal: 3\n");
      using first = await machine.snapshot({ base: true });
      const before = lastRecord(test.output);
      await recorded(() => test.output, before + 20);
      using second = await machine.snapshot();
      second.save(folders.of("second"));
      await machine.pause();
      await machine.reset(first); // pages of `second` are the file's again
      using third = await machine.snapshot();
      third.save(folders.of("third"), { since: second });
      third.save(folders.of("whole"));
      mergeFolders(folders.of("second"), folders.of("third"));
      assertSameMemory(folders.of("third"), folders.of("whole"));
    }
    let output = "";
    await using machine = await Machine.restore(folders.of("second"), {}, {
      onOutput: (bytes) => output += new TextDecoder().decode(bytes),
    });
    machine.start();
    await recorded(() => output, 3);
    using fourth = await machine.snapshot();
    fourth.save(folders.of("fourth"), { since: folders.of("second") });
    fourth.save(folders.of("fourth whole"));
    mergeFolders(folders.of("second"), folders.of("fourth"));
    assertSameMemory(folders.of("fourth"), folders.of("fourth whole"));
  },
}));

for (
  const [name, drive, words, forkable] of [
    ["reads by io_uring", { io_engine: "Async" }, "blk-randread"],
    ["reads by system calls", { io_engine: "Sync" }, "blk-randread"],
    ["O_DIRECT", { direct: true }, "blk-randread"],
    ["a guest's own writes", {}, "blk-randwrite"],
    ["RAM that was in a file", {}, "blk-randread", true],
  ] as const
) {
  Deno.test(needing([KVM], {
    name: `snapshots over an image have all that was written: ${name}`,
    async fn() {
      using disk = new ScratchFile(4 * MiB);
      const noise = new Uint8Array(4 * MiB);
      for (let at = 0; at < noise.length; at += 65536) {
        crypto.getRandomValues(noise.subarray(at, at + 65536));
      }
      Deno.writeFileSync(disk.path, noise);
      await using test = await TestMachine.create({
        "boot-source": {
          kernel_image_path: payload,
          boot_args: `bench=${Array(100).fill(words)} qd=16 bs=16K ms=100`,
        },
        "machine-config": { mem_size_mib: 16 },
        drives: [{
          drive_id: "d",
          path_on_host: disk.path,
          is_root_device: false,
          ...drive,
        }],
      }, { forkable });
      const { machine } = test;
      machine.start();
      await benched(test, 1);
      using _base = await machine.snapshot({ base: true });
      await benched(test, benches(test) + 1);
      await machine.pause();
      using snapshot = await machine.snapshot();
      const changed = snapshot.memory.changes.length;
      assert.ok(changed > 0, "it is over the image");
      const [mapping] = mappingsOfProcess().filter(({ name, size }) =>
        name.startsWith("/memfd:") && size === 16 * MiB
      );
      const memory = new Uint8Array(viewOf(mapping!.start, 16 * MiB));
      let at = 0;
      snapshot.memory.sums((offset, piece) => {
        const real = memory.subarray(offset, offset + piece.length);
        assertSameBytes(piece, real, offset);
        at = offset + piece.length;
      });
      assert.equal(at, 16 * MiB);
    },
  }));
}

Deno.test(needing([KVM], {
  name:
    "snapshot diffs: what doesn't belong together, is damaged or comes from elsewhere is told in a line",
  async fn() {
    using folders = new Folders();
    using disk = new ScratchFile(MiB);
    await using test = await TestMachine.create(recording(disk.path));
    const { machine } = test;
    machine.start();
    await test.printed("journal: 3\n");
    using first = await machine.snapshot({ base: true });
    const [whole, diff, other] = ["whole", "diff", "other"].map((name) =>
      folders.of(name)
    ) as [string, string, string];
    await recorded(() => test.output, lastRecord(test.output) + 5);
    using second = await machine.snapshot();
    assert.throws(() => second.save(diff, { since: first }), {
      name: "VireoError",
      message: "snapshot: the one that it is to be since is not saved",
    });
    assert.throws(() => second.save(diff, { since: whole }), /there is none/);
    first.save(whole);
    second.save(diff, { since: whole });
    second.save(other);
    const refuses = async (action: () => unknown, message: RegExp) => {
      await assert.rejects(async () => await action(), (error: Error) => {
        assert.equal(error.name, "VireoError");
        assert.match(error.message, /^snapshot[ :][^\n]+$/);
        assert.match(error.message, message);
        return true;
      });
    };
    const isDiff = /is a diff of another one: merge it with that first/;
    await refuses(() => Machine.restore(diff), isDiff);
    await refuses(() => compareMemory(whole, diff), isDiff);
    await refuses(() => second.save(folders.of("d"), { since: diff }), isDiff);
    await refuses(() => mergeFolders(diff, diff), isDiff);
    await refuses(() => mergeFolders(whole, other), /is whole, and no diff/);
    await refuses(
      () => mergeFolders(other, diff),
      /is a diff of another snapshot than/,
    );

    // A diff of others' is no more to be trusted when it is merged.
    const foreign = folders.of("foreign");
    Deno.mkdirSync(foreign, { mode: 0o700 });
    for (const { name } of Deno.readDirSync(diff)) {
      Deno.copyFileSync(`${diff}/${name}`, `${foreign}/${name}`);
    }
    mergeFolders(whole, foreign, folders.of("merged"));
    await refuses(
      () => Machine.restore(folders.of("merged")),
      /to be given, since it names them on this host/,
    );

    const [memory] = [...Deno.readDirSync(diff)].map(({ name }) => name)
      .filter((name) => name.startsWith("memory-"));
    using file = Deno.openSync(`${diff}/${memory}`, { write: true });
    file.writeSync(Uint8Array.of(1, 2, 3));
    await refuses(() => verifyFolder(diff), /is not what was saved/);
    const before = Deno.readTextFileSync(`${diff}/state.json`);
    await refuses(() => mergeFolders(whole, diff), /is not what was saved/);
    assert.equal(Deno.readTextFileSync(`${diff}/state.json`), before);
    file.truncateSync(1);
    await refuses(() => verifyFolder(diff), /has 1 bytes, not/);
  },
}));
