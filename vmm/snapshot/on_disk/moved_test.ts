/** A snapshot in other hands: another checkout's, folder's, user's. */
import assert from "node:assert/strict";
import { denoAsNobody, FOR_KVM } from "../../../ffi/testing/nobody.ts";
import { KVM, needing, root } from "../../../ffi/testing/needs.ts";
import { MiB } from "../../../guest/layout.ts";
import { ScratchFile, TestMachine } from "../../testing/mod.ts";
import { lastRecord, recording, recordingOn } from "../../testing/records.ts";

const HERE = new URL("../../../", import.meta.url).pathname;
/** What a machine is made of. */
const ROOMS = ["ffi", "guest", "devices", "vmm", "emulate"];
const NOBODY = 65534;

/** What `checkout` makes of a snapshot: two records of its guest, or a line. */
function program(checkout: string, folder: string, overrides: object): string {
  return `
    const { Machine } = await import("${checkout}/vmm/machine.ts");
    let said = "";
    const onOutput = (bytes) => {
      said += new TextDecoder().decode(bytes);
      if (/journal: \\d+\\n[^]*journal: \\d+\\n/.test(said)) machine.stop();
    };
    let machine;
    try {
      machine = await Machine.restore("${folder}", ${
    JSON.stringify(overrides)
  }, { onOutput });
      machine.start();
      const { reason, message = reason } = await machine.wait();
      console.log(said + message);
    } catch (error) {
      console.log(error.name + ": " + error.message);
    }`;
}

function copy(from: string, to: string, names: readonly string[]): void {
  const { success, stderr } = new Deno.Command("cp", {
    args: ["-r", ...names.map((name) => `${from}/${name}`), to],
  }).outputSync();
  assert.ok(success, new TextDecoder().decode(stderr));
}

function give(folder: string): void {
  for (const { name } of Deno.readDirSync(folder)) {
    Deno.chownSync(`${folder}/${name}`, NOBODY, NOBODY);
  }
  Deno.chownSync(folder, NOBODY, NOBODY);
}

Deno.test(needing([KVM, root("becomes another user"), ...FOR_KVM], {
  name:
    "snapshot folder: in another checkout, folder or user's hands it asks for what it names, and goes on with that",
  async fn(t) {
    const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
    using _dir = {
      [Symbol.dispose]: () => Deno.removeSync(dir, { recursive: true }),
    };
    Deno.chmodSync(dir, 0o777);
    using disk = new ScratchFile(MiB);
    const [saved, checkout] = [`${dir}/saved`, `${dir}/checkout`];
    let last: number;
    {
      await using test = await TestMachine.create(recording(disk.path));
      test.machine.start();
      await test.printed("journal: 3\n");
      using snapshot = await test.machine.snapshot();
      last = lastRecord(test.output);
      snapshot.save(saved);
    }
    Deno.mkdirSync(checkout);
    copy(HERE, checkout, [...ROOMS, "deno.json", "deno.lock"]);
    const moved = `${dir}/moved`;
    Deno.mkdirSync(moved, { mode: 0o700 });
    const names = [...Deno.readDirSync(saved)].map(({ name }) => name);
    copy(saved, moved, names);
    const own = `${dir}/disk`; // the other user's
    Deno.copyFileSync(disk.path, own);
    Deno.chownSync(own, NOBODY, NOBODY);

    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim();
    const asRoot = async (folder: string, overrides = {}) => {
      const source = program(checkout, folder, overrides);
      const args = ["eval", source];
      const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args,
      }).output();
      return text(stdout) || text(stderr);
    };
    const asNobody = async (folder: string, overrides = {}) => {
      const source = program(checkout, folder, overrides);
      const { stdout, stderr } = await denoAsNobody(source, dir, true);
      return text(stdout) || text(stderr);
    };
    const asks = "VireoError: snapshot: to be given, since it names them on " +
      "this host and is not where you saved it: drives d: path_on_host";
    const goesOn = (said: string) => {
      assert.match(said, /stopped$/); // in the middle of a line, it may be
      const [, next] = /journal: (\d+)\n/.exec(said) ?? [];
      assert.ok(Number(next) > last && Number(next) <= last + 2, said);
    };
    await t.step("another checkout's, in its place: on its word", async () => {
      goesOn(await asRoot(saved));
    });
    await t.step("elsewhere: it asks, and goes on", async () => {
      assert.equal(await asRoot(moved), asks);
      goesOn(await asRoot(moved, recordingOn(disk.path)));
    });
    await t.step("another user reads it in its place: it asks", async () => {
      assert.equal(await asNobody(saved), asks);
      goesOn(await asNobody(saved, recordingOn(own)));
    });
    await t.step("it is another user's now: it asks, and goes on", async () => {
      give(moved);
      assert.equal(await asNobody(moved), asks);
      goesOn(await asNobody(moved, recordingOn(own)));
      assert.equal(await asRoot(moved), asks, "root trusts nobody's word");
    });
    await t.step("what the user may not open is told", async () => {
      const said = await asNobody(moved, recordingOn(disk.path));
      assert.match(said, /^\w+Error: open disk ".*": EACCES/);
    });
  },
}));
