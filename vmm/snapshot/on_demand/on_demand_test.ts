/** Memory whose pages come when they are touched. */
import assert from "node:assert/strict";
import { EventFd } from "../../../ffi/eventfd.ts";
import { advise, Madvise, Mapping } from "../../../ffi/memory/mmap.ts";
import { KVM, needing, root } from "../../../ffi/testing/needs.ts";
import { until } from "../../../ffi/testing/until.ts";
import { MiB } from "../../../guest/layout.ts";
import { readPayload } from "../../../images/payload/payload.ts";
import type { VmConfig } from "../../config/types.ts";
import { Machine } from "../../machine.ts";
import { ScratchFile, TestMachine } from "../../testing/mod.ts";
import { type PageSource, regionMessages, serveOnDemand } from "./on_demand.ts";

const HANDLER =
  new URL("../../../examples/page_handler.ts", import.meta.url).pathname;
const PAGES = 16 * MiB / 4096;
const payload = await readPayload();

/** A snapshot of a guest that writes records to its disk, for ever. */
class Saved implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  readonly folder = `${this.path}/saved`;
  readonly disk = new ScratchFile(MiB);

  static async create(): Promise<Saved> {
    const saved = new Saved();
    const config: VmConfig = {
      "boot-source": { kernel_image_path: payload, boot_args: "journal" },
      "machine-config": { mem_size_mib: 16 },
      drives: [{
        drive_id: "d",
        path_on_host: saved.disk.path,
        is_root_device: false,
      }],
    };
    await using test = await TestMachine.create(config);
    test.machine.start();
    await test.printed("journal: 3");
    using snapshot = await test.machine.snapshot();
    snapshot.save(saved.folder);
    return saved;
  }

  /** A module with this text behind the name of the memory's file. */
  module(text: string): string {
    const { memory } = JSON.parse(
      Deno.readTextFileSync(`${this.folder}/state.json`),
    );
    const path = `${this.path}/source${Math.random()}.ts`;
    const file = JSON.stringify(`${this.folder}/${memory.file}`);
    const log = JSON.stringify(`${this.path}/log`);
    Deno.writeTextFileSync(
      path,
      `const FILE = ${file}, LOG = ${log};\n${text}`,
    );
    return `file://${path}`;
  }

  [Symbol.dispose](): void {
    this.disk[Symbol.dispose]();
    Deno.removeSync(this.path, { recursive: true });
  }
}

const FROM_FILE = `
const file = Deno.openSync(FILE);
const isZero = (bytes: Uint8Array) => bytes.every((byte) => byte === 0);
const log = Deno.openSync(LOG, { write: true, create: true, append: true });
export default (offset: number, length: number) => {
  log.writeSync(new TextEncoder().encode(offset + "\\n"));
  const bytes = new Uint8Array(length);
  file.seekSync(offset, Deno.SeekMode.Start);
  file.readSync(bytes);
  // Either way is one.
  return offset % 8192 ? bytes : Promise.resolve(isZero(bytes) ? undefined : bytes);
};
`;

/** Lets a machine of it write its tenth record, and then does `work`. */
async function goesOn(
  { folder }: Saved,
  pages: PageSource,
  work: (machine: Machine) => unknown = () => {},
): Promise<void> {
  let output = "";
  await using machine = await Machine.restore(folder, {}, {
    pages,
    onOutput: (bytes) => output += new TextDecoder().decode(bytes),
  });
  machine.start();
  const tenth = () => /journal: \d{2}/.test(output);
  await until(tenth, "tenth record", () => output);
  await work(machine);
}

Deno.test(needing([KVM, root("has a userfaultfd")], {
  name:
    "memory on demand: from a function, each page once, and only what is touched",
  async fn() {
    using saved = await Saved.create();
    const pages = { module: saved.module(FROM_FILE) };
    await goesOn(saved, pages, async (machine) => {
      // A snapshot of it has all pages, those that nobody has touched, too.
      using snapshot = await machine.snapshot();
      snapshot.save(`${saved.path}/again`);
    });
    const touched = Deno.readTextFileSync(`${saved.path}/log`).trim()
      .split("\n");
    assert.equal(new Set(touched).size, touched.length, "each page once");
    await Machine.restore(`${saved.path}/again`).then((m) => m.stop());
    Deno.removeSync(`${saved.path}/log`);
    await goesOn(saved, pages);
    const few = Deno.readTextFileSync(`${saved.path}/log`).trim().split("\n");
    assert.ok(few.length > 5 && few.length < PAGES / 2, `${few.length} pages`);
  },
}));

Deno.test(needing([KVM, root("has a userfaultfd")], {
  name:
    "memory on demand: from a program by Firecracker's protocol; its end is the machine's",
  async fn() {
    using saved = await Saved.create();
    const socket = `${saved.path}/pages.sock`;
    const handler = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "-A", HANDLER, saved.folder, socket],
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    let said = "";
    const reading = (async () => {
      const text = handler.stdout.pipeThrough(new TextDecoderStream());
      for await (const chunk of text) said += chunk;
    })();
    await until(() => said.includes("listening"), "the handler", () => said);
    const { ino } = Deno.statSync(saved.folder);
    assert.ok(ino);
    await goesOn(saved, { socket }, async (machine) => {
      handler.kill("SIGKILL");
      assert.deepEqual(await machine.wait(), {
        reason: "error",
        message: `memory from "${socket}": the handler has gone`,
      });
    });
    await handler.status;
    await reading;
    const touched = said.match(/^page \d+$/gm) ?? [];
    assert.equal(new Set(touched).size, touched.length, "each page once");
    assert.ok(touched.length > 5 && touched.length < PAGES / 2);
  },
}));

Deno.test(needing([KVM, root("has a userfaultfd")], {
  name: "memory on demand: a program that never answers holds no isolate",
  async fn() {
    using saved = await Saved.create();
    const socket = `${saved.path}/pages.sock`;
    using silent = Deno.listen({ transport: "unix", path: socket });
    const restored = Machine.restore(saved.folder, {}, { pages: { socket } });
    const connection = await silent.accept();
    let settled = false;
    restored.catch(() => {}).finally(() => settled = true);
    await new Promise((done) => setTimeout(done, 200));
    assert.ok(!settled, "it waits for the pages that it needs itself");
    connection.close();
    await assert.rejects(restored, { message: /: the handler has gone$/ });

    const ending = new AbortController();
    const other = Machine.restore(saved.folder, {}, {
      pages: { socket },
      signal: ending.signal,
    });
    using _connection = await silent.accept();
    await new Promise((done) => setTimeout(done, 200));
    ending.abort();
    await assert.rejects(other, { message: "memory on demand: given up" });
  },
}));

Deno.test(needing([KVM, root("has a userfaultfd")], {
  name: "memory on demand: a guest that waits for a page can be stopped",
  async fn() {
    using saved = await Saved.create();
    // Restoring takes one page itself, the generation's: this guest has no
    // kvmclock.
    const module = saved.module(`
let first = true;
export default () => {
  if (first) return first = false, undefined;
  return new Promise(() => {});
};`);
    let output = "";
    await using machine = await Machine.restore(saved.folder, {}, {
      pages: { module },
      onOutput: (bytes) => output += new TextDecoder().decode(bytes),
    });
    machine.start();
    await new Promise((done) => setTimeout(done, 200)); // its threads wait
    await machine.stop();
    assert.equal(output, "");
    assert.deepEqual(await machine.wait(), { reason: "stopped" });
  },
}));

Deno.test(needing([KVM, root("has a userfaultfd")], {
  name:
    "memory on demand: what can't be had is told in a line, before or at the page",
  async fn() {
    using saved = await Saved.create();
    const refused: [PageSource, RegExp][] = [
      [{ socket: `${saved.path}/none` }, /ENOENT: no handler listens here/],
      [{ module: `file://${saved.path}/none.ts` }, /memory from .*none\.ts/],
      [{ module: saved.module("export default 7;") }, /is no function/],
    ];
    for (const [pages, message] of refused) {
      await assert.rejects(Machine.restore(saved.folder, {}, { pages }), {
        name: "VireoError",
        message,
      });
    }
    const late: [string, RegExp][] = [
      [`throw new Error("gone");`, /^memory from .*: gone$/],
      ["return new Uint8Array(7);", /: 7 bytes at \d+, not 4096$/],
    ];
    for (const [text, message] of late) {
      const module = saved.module(`export default () => { ${text} };`);
      const end = await ending(saved.folder, { module });
      assert.match(end, message);
    }
  },
}));

/** What a machine ends with, at its restore or later. */
async function ending(folder: string, pages: PageSource): Promise<string> {
  try {
    await using machine = await Machine.restore(folder, {}, { pages });
    machine.start();
    return (await machine.wait()).message ?? "nothing";
  } catch (error) {
    return (error as Error).message;
  }
}

Deno.test(needing([root("has a userfaultfd")], {
  name:
    "memory on demand: pages that are given back are zeros, whatever the source has",
  async fn() {
    const path = Deno.makeTempFileSync({ suffix: ".ts" });
    Deno.writeTextFileSync(
      path,
      "export default (offset: number, length: number) =>" +
        " new Uint8Array(length).fill(1 + offset / 4096);",
    );
    const size = 8 * 4096;
    using mapping = new Mapping(size);
    const ending = Promise.withResolvers<void>();
    using held = new DisposableStack();
    await serveOnDemand({
      regions: [{ guestAddress: 0, size, hostAddress: mapping.address }],
      fail: (message) => assert.fail(message),
      ending: ending.promise,
      defer: (release) => held.defer(release),
    }, { module: `file://${path}` });
    const bytes = new Uint8Array(mapping.buffer);
    const first = () => Array.from({ length: 8 }, (_, i) => bytes[i * 4096]);
    assert.deepEqual(first(), [1, 2, 3, 4, 5, 6, 7, 8]);
    bytes[4096] = 99; // what was written stays
    // Touched or not: both are gone.
    assert.ok(advise(mapping.address + 2 * 4096, 3 * 4096, Madvise.DONTNEED));
    assert.deepEqual(first(), [1, 99, 0, 0, 0, 6, 7, 8]);
    ending.resolve();
    await ending.promise;
    Deno.removeSync(path);
  },
}));

Deno.test(needing([root("has a userfaultfd")], {
  name: "memory on demand: what gets the socket's number afterwards is its own",
  async fn() {
    const path = Deno.makeTempFileSync();
    Deno.removeSync(path);
    using listener = Deno.listen({ transport: "unix", path });
    const size = 4096;
    using mapping = new Mapping(size);
    const ending = Promise.withResolvers<void>();
    let release = () => Promise.resolve();
    await serveOnDemand({
      regions: [{ guestAddress: 0, size, hostAddress: mapping.address }],
      fail: (message) => assert.fail(message),
      ending: ending.promise,
      defer: (it) => release = it,
    }, { socket: path });
    using _handler = await listener.accept();
    ending.resolve();
    await ending.promise;
    const released = release();
    using stack = new DisposableStack();
    const others = Array.from({ length: 16 }, () => stack.use(new EventFd()));
    others.forEach((eventFd) => eventFd.signal());
    await new Promise((done) => setTimeout(done, 100));
    assert.ok(others.every((eventFd) => eventFd.drain()), "nobody reads them");
    await released;
  },
}));

Deno.test("memory on demand: regions as Firecracker tells them", () => {
  const regions = [
    { guestAddress: 0, size: 8192, hostAddress: 0x7000_0000_0000 },
    { guestAddress: 2 ** 32, size: 4096, hostAddress: 0x7100_0000_0000 },
  ];
  const page = { page_size: 4096, page_size_kib: 4096 };
  assert.deepEqual(regionMessages(regions), [
    { base_host_virt_addr: 0x7000_0000_0000, size: 8192, offset: 0, ...page },
    {
      base_host_virt_addr: 0x7100_0000_0000,
      size: 4096,
      offset: 8192,
      ...page,
    },
  ]);
});
