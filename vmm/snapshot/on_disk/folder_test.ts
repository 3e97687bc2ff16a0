/** A snapshot in a folder: written, read, refused. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { KVM, needing } from "../../../ffi/testing/needs.ts";
import { until } from "../../../ffi/testing/until.ts";
import { Random } from "../../../guest/testing/random.ts";
import { MiB } from "../../../guest/layout.ts";
import { readPayload } from "../../../images/payload/payload.ts";
import type { VmConfig } from "../../config/types.ts";
import { Machine } from "../../machine.ts";
import {
  descriptorsAgain,
  descriptorsAtRest,
  ScratchFile,
  TestMachine,
} from "../../testing/mod.ts";
import { verifyFolder } from "../mod.ts";

const payload = await readPayload();

/** A guest that writes records to its disk, and says so, for ever. */
function config(disk: string): VmConfig {
  return {
    "boot-source": { kernel_image_path: payload, boot_args: "journal" },
    "machine-config": { mem_size_mib: 16 },
    drives: [{ drive_id: "d", path_on_host: disk, is_root_device: false }],
    entropy: {},
  };
}

class Folder implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "vireo-test-" });

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** Saves a machine in the middle of its work to `folder`; it ends. */
async function save(folder: string, disk: ScratchFile): Promise<void> {
  await using test = await TestMachine.create(config(disk.path));
  test.machine.start();
  await test.printed("journal: 3");
  using snapshot = await test.machine.snapshot();
  snapshot.save(folder);
}

async function goesOn(
  folder: string,
  overrides: Parameters<typeof Machine.restore>[1] = {},
): Promise<void> {
  let output = "";
  await using machine = await Machine.restore(folder, overrides, {
    onOutput: (bytes) => output += new TextDecoder().decode(bytes),
  });
  assert.equal(machine.state, "created");
  machine.start();
  await until(
    () => /journal: \d{2}/.test(output),
    "tenth record",
    () => output,
  );
}

function names(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
}

const STATE = "state.json";

/** Changes the state, and makes its checksum right again. */
function edit(folder: string, change: (text: string) => string): void {
  const path = `${folder}/${STATE}`;
  const { sha256: _, ...content } = JSON.parse(
    change(Deno.readTextFileSync(path)),
  );
  Deno.writeTextFileSync(
    path,
    JSON.stringify({ ...content, sha256: sum(content) }),
  );
}

function sum(content: unknown): string {
  return createHash("sha256").update(JSON.stringify(content)).digest("hex");
}

Deno.test(needing([KVM], {
  name:
    "snapshot folder: another machine goes on from it, and it is replaced all at once",
  async fn() {
    using disk = new ScratchFile(MiB);
    using folder = new Folder();
    await save(folder.path, disk);
    const [memory, ...rest] = names(folder.path);
    assert.deepEqual(rest, [STATE]);
    const { mode, size, blocks } = Deno.statSync(`${folder.path}/${memory}`);
    assert.equal(mode! & 0o777, 0o600);
    assert.equal(size, 16 * MiB);
    assert.ok(512 * blocks! < 8 * MiB, "has holes");
    verifyFolder(folder.path);
    await goesOn(folder.path);
    const before = await descriptorsAtRest(); // Deno's own are all there now
    await save(folder.path, disk);
    assert.equal(names(folder.path).length, 2, "the old memory is gone");
    assert.ok(!names(folder.path).includes(memory!));
    await goesOn(folder.path);
    await descriptorsAgain(before);
  },
}));

Deno.test(needing([KVM], {
  name:
    "snapshot folder: memory that a machine runs on stays when it is replaced",
  async fn() {
    using disk = new ScratchFile(MiB);
    using other = new ScratchFile(MiB);
    using folder = new Folder();
    await save(folder.path, disk);
    const [memory] = names(folder.path);
    {
      await using machine = await Machine.restore(folder.path);
      machine.start();
      await save(folder.path, other);
      assert.equal(names(folder.path).length, 3);
      assert.ok(names(folder.path).includes(memory!));
    }
    await save(folder.path, other);
    assert.equal(names(folder.path).length, 2);
  },
}));

Deno.test(needing([KVM], {
  name:
    "snapshot folder: what it names on the host is to be given once it is elsewhere",
  async fn() {
    using disk = new ScratchFile(MiB);
    using folder = new Folder();
    await save(folder.path, disk);
    using copy = new Folder();
    for (const name of names(folder.path)) {
      Deno.copyFileSync(`${folder.path}/${name}`, `${copy.path}/${name}`);
    }
    await assert.rejects(Machine.restore(copy.path), {
      name: "VireoError",
      message: "snapshot: to be given, since it names them on this host and " +
        "is not where you saved it: drives d: path_on_host",
    });
    const drives = [{ drive_id: "d", path_on_host: disk.path }] as never;
    await goesOn(copy.path, { drives });
    Deno.chmodSync(folder.path, 0o777); // now others can write to it
    await assert.rejects(
      Machine.restore(folder.path),
      /drives d: path_on_host/,
    );
    const unknown = [{ drive_id: "e", path_on_host: disk.path }] as never;
    await assert.rejects(
      Machine.restore(folder.path, { drives: unknown }),
      /path_on_host/,
    );
  },
}));

Deno.test(needing([KVM], {
  name:
    "snapshot folder: damage, another version and missing files are told in one line",
  async fn() {
    using disk = new ScratchFile(MiB);
    using folder = new Folder();
    await save(folder.path, disk);
    const state = Deno.readTextFileSync(`${folder.path}/${STATE}`);
    const refuses = async (message: RegExp) => {
      await assert.rejects(Machine.restore(folder.path), (error: Error) => {
        assert.equal(error.name, "VireoError");
        assert.match(error.message, /^snapshot/);
        assert.doesNotMatch(error.message, /\n/);
        assert.match(error.message, message);
        return true;
      });
      Deno.writeTextFileSync(`${folder.path}/${STATE}`, state);
    };
    const put = (text: string) =>
      Deno.writeTextFileSync(`${folder.path}/${STATE}`, text);
    put("{");
    await refuses(/is not JSON/);
    put(state.replace('"acpi": false', '"acpi": true'));
    await refuses(/not as it was saved \(sha256\)/);
    edit(folder.path, (text) => text.replace('"format": 2', '"format": 1'));
    await refuses(/has format 1; this Vireo reads format 2/);
    edit(folder.path, (text) => text.replace(/"rip": "0x\w+"/, '"rip": "12"'));
    await refuses(/vcpus\[0\]\.registers\.rip: is not a number of 64 bits/);
    edit(
      folder.path,
      (text) => text.replace(/"cpu": "\w+/, '"cpu": "AnotherCPU'),
    );
    await refuses(/was saved on another CPU \(AnotherCPU .*; here .*\)$/);
    edit(
      folder.path,
      (text) => text.replace(/"host": "/, '"host": "\\u001b]0;title'),
    );
    await refuses(/origin\.host: is not a line of text$/);
    edit(
      folder.path,
      (text) => text.replace('"mem_size_mib": 16', '"mem_size_mib": 32'),
    );
    await refuses(/memory is not the machine's in size/);
    edit(
      folder.path,
      (text) => text.replace(/"file": "memory-/, '"file": "../memory-'),
    );
    await refuses(/is no name of a memory file/);
    const [memory] = names(folder.path);
    const path = `${folder.path}/${memory}`;
    using file = Deno.openSync(path, { write: true });
    file.seekSync(3 * MiB, Deno.SeekMode.Start);
    file.writeSync(Uint8Array.of(1));
    assert.throws(() => verifyFolder(folder.path), /memory from 2097152 on/);
    file.truncateSync(MiB);
    await refuses(/has 1048576 bytes, not 16777216/);
    Deno.removeSync(path);
    await refuses(/there is none|No such file/);
    Deno.removeSync(`${folder.path}/${STATE}`);
    await assert.rejects(Machine.restore(folder.path), /there is none/);
  },
}));

Deno.test(needing([KVM], {
  name:
    "snapshot folder: a hostile state is refused, or is a guest like any other",
  async fn() {
    using disk = new ScratchFile(MiB);
    using folder = new Folder();
    await save(folder.path, disk);
    const random = new Random(5);
    const state = Deno.readTextFileSync(`${folder.path}/${STATE}`);
    let refused = 0;
    for (let round = 0; round < 60; round++) {
      edit(folder.path, () => mutated(state, random));
      try {
        await using machine = await Machine.restore(folder.path);
        machine.start();
        await new Promise((done) => setTimeout(done, 5));
      } catch (error) {
        assert.ok(
          error instanceof Error && error.name === "VireoError" ||
            (error as Error).name === "SystemError",
          `${round}: ${error}`,
        );
        refused++;
      }
    }
    assert.ok(refused > 5 && refused < 60, `${refused} of 60 were refused`);
  },
}));

/** A value somewhere is another one. */
function mutated(state: string, random: Random): string {
  const content = JSON.parse(state);
  for (let times = 1 + random.below(3); times > 0; times--) {
    mutateIn(content.machine, random);
  }
  return JSON.stringify(content);
}

function mutateIn(parent: Record<string, unknown>, random: Random): void {
  const names = Object.keys(parent);
  if (names.length === 0) return;
  const name = names[random.below(names.length)]!;
  const value = parent[name];
  if (typeof value === "object" && value !== null && random.below(20) > 0) {
    return mutateIn(value as Record<string, unknown>, random);
  }
  parent[name] = other(value, random);
}

function other(value: unknown, random: Random): unknown {
  switch (random.below(12)) {
    case 0:
      return null;
    case 1:
      return -1;
    case 2:
      return {};
    case 3:
      return [];
  }
  if (typeof value === "number") {
    return random.below(2)
      ? random.below(2 ** 31)
      : value ^ (1 << random.below(31));
  }
  if (typeof value === "boolean") return !value;
  if (typeof value !== "string") return value;
  if (/^0x/.test(value)) return `0x${random.below(2 ** 31).toString(16)}`;
  try {
    const bytes = Uint8Array.fromBase64(value);
    for (let i = 0; i < 4 && bytes.length > 0; i++) {
      bytes[random.below(bytes.length)] = random.below(256);
    }
    return bytes.toBase64();
  } catch {
    return value + "x";
  }
}

Deno.test(needing([KVM], {
  name:
    "snapshot folder: memory that is cut under a machine ends that, by the file's name",
  async fn() {
    using disk = new ScratchFile(MiB);
    using folder = new Folder();
    await save(folder.path, disk);
    const memory = `${folder.path}/${names(folder.path)[0]}`;
    await using machine = await Machine.restore(folder.path);
    machine.start();
    Deno.truncateSync(memory, 64 * 1024);
    assert.deepEqual(await machine.wait(), {
      reason: "error",
      message: `memory file "${memory}": was cut to 65536 bytes`,
    });
  },
}));
