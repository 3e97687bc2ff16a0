/** Drives whose bytes come from a module of the user's. */
import assert from "node:assert/strict";
import { ModuleBackend } from "../../devices/backends/block/disk_module.ts";
import { OwnCode } from "../../devices/own/code.ts";
import { BlkDriver } from "../../devices/virtio/testing/blk.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { readPayload } from "../../images/payload/payload.ts";
import { resolve } from "../config/mod.ts";
import type { VmConfig } from "../config/types.ts";
import { TestMachine } from "../testing/mod.ts";
import { type Drive, parseDisk } from "./blk.ts";

/** A module of a disk in memory whose class has this body besides. */
function moduleOf(body = "", name = "Memory"): string {
  const source = `class Memory {
    size = 1 << 20;
    data = new Uint8Array(1 << 20);
    read(offset, bytes) {
      bytes.set(this.data.subarray(offset, offset + bytes.length));
    }
    write(offset, bytes) { this.data.set(bytes, offset); }
  }
  export default class extends ${name} { ${body} }`;
  return `data:text/javascript,${encodeURIComponent(source)}`;
}

async function create(words: string, drive: Partial<Drive>) {
  const config: VmConfig = {
    "boot-source": { kernel_image_path: await readPayload(), boot_args: words },
    "machine-config": { mem_size_mib: 16 },
    drives: [{ drive_id: "d", is_root_device: false, ...drive }],
  };
  return await TestMachine.create(config);
}

/** Later, and after other requests. */
const LATER = "await new Promise((go) => setTimeout(go, offset % 3));";
const PROMISES = moduleOf(`
  async read(offset, bytes) { ${LATER} super.read(offset, bytes); }
  async write(offset, bytes) { ${LATER} super.write(offset, bytes); }
  async flush() { await null; }
  discard(offset, length) { this.data.fill(0, offset, offset + length); }`);

for (const [how, backend] of [["at once", moduleOf()], ["later", PROMISES]]) {
  Deno.test(needing([KVM], {
    name: `disk modules: what is written is read, ${how}`,
    async fn() {
      const words = "demo bench=blk-randread,blk-randwrite qd=16 ms=20";
      for (const transport of ["mmio", "pci"] as const) {
        await using test = await TestMachine.create({
          "boot-source": {
            kernel_image_path: await readPayload(),
            boot_args: words,
          },
          "machine-config": { mem_size_mib: 16, transport },
          drives: [{ drive_id: "d", is_root_device: false, backend }],
        });
        const { output, log } = await test.run();
        assert.match(output, /payload: ok/);
        assert.deepEqual(log, []);
      }
    },
  }));
}

const FAILURES: Record<string, string> = {
  "throws": "read() { throw new Error('oh'); }",
  "breaks its promise": "async read() { await null; throw new Error('oh'); }",
  "returns bytes": "read(_, bytes) { return new Uint8Array(bytes.length); }",
  "promises bytes": "async read() { return new Uint8Array(512); }",
};
for (const [how, body] of Object.entries(FAILURES)) {
  Deno.test(needing([KVM], {
    name:
      `disk modules: one that ${how} is an I/O error of the guest's and a line`,
    async fn() {
      await using test = await create("demo", { backend: moduleOf(body) });
      const { end, output, log } = await test.run();
      assert.equal(end.reason, "reset");
      assert.match(output, /IOERR/);
      const returned =
        "d: TypeError: read returned bytes; it fills what it is given";
      if (/bytes/.test(how)) assert.equal(log[0], returned);
      else assert.match(log[0]!, /^d: Error: oh/);
      assert.ok(log.length <= 20, "no more lines");
    },
  }));
}

Deno.test(needing([KVM], {
  name:
    "disk modules: one that never answers holds up no reset and no end, but a snapshot",
  async fn() {
    const backend = moduleOf(`open(context) { this.log = context.log; }
      read() { this.log("asked"); return new Promise(() => {}); }`);
    {
      using driver = new BlkDriver(
        new ModuleBackend(
          { size: 4096, read: () => new Promise(() => {}) },
          new OwnCode("d", import.meta.url, undefined!),
          false,
        ),
      );
      driver.read(0, 512);
      driver.kick(0);
      driver.reset(); // returns
      assert.equal(driver.status, 0);
    }
    await using other = await create("demo", { backend });
    other.machine.start();
    await until(() => other.log.length > 0, "a read");
    await assert.rejects(other.machine.snapshot(), {
      message: "d: can't be saved: it has not kept a promise",
    });
    assert.equal(other.machine.state, "running");
    assert.equal((await other.machine.stop()).reason, "stopped");
  },
}));

const REFUSED: Record<string, [body: string, message: RegExp]> = {
  "a size that is none": ["size = 1000;", /: size 1000 is no multiple of 512 /],
  "no size": ["size = undefined;", /: size undefined is no multiple/],
  "no read": ["read = 1;", /: read is no method$/],
  "a flush that is none": ["flush = 1;", /: flush is no method$/],
  "an open that throws": [
    "open() { throw new Error('shut'); }",
    /: Error: shut$/,
  ],
  "an open that breaks its promise": [
    "async open() { throw new Error('shut'); }",
    /: Error: shut$/,
  ],
  "a constructor that throws": [
    "constructor() { super(); throw new Error('by me'); }",
    /: Error: by me$/,
  ],
};
Deno.test(needing([KVM], {
  name:
    "disk modules: what is no disk is refused before the start, by its name",
  async fn() {
    for (const [what, [body, message]] of Object.entries(REFUSED)) {
      const backend = moduleOf(body);
      await assert.rejects(create("hello", { backend }), (error: Error) => {
        assert.match(error.message, message, what);
        assert.ok(error.message.startsWith(`disk ${backend}: `), what);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      });
    }
  },
}));

Deno.test("disk modules: a drive is a file or a module; of both, or none, there is a line", () => {
  const refused = (drive: Partial<Drive>, message: RegExp) =>
    assert.throws(() =>
      resolve({
        "boot-source": { kernel_image_path: new Uint8Array() },
        drives: [{ drive_id: "d", is_root_device: false, ...drive }],
      }), message);
  const backend = moduleOf();
  refused({}, /drives\[0\].path_on_host: is missing|path_on_host/);
  refused({ backend, path_on_host: "/dev/null" }, /path_on_host is there, too/);
  refused({ backend, queues: 2 }, /drives\[0\].backend: has one queue/);
  refused({ backend, direct: true }, /no page cache/);
  refused({ backend: "nowhere.ts" }, /nowhere.ts/);
  const file = new URL(import.meta.url).pathname;
  assert.deepEqual(parseDisk(`backend=${file},ro,key=5`, 1), {
    drive_id: "vireo-1",
    is_root_device: false,
    is_read_only: true,
    backend: import.meta.url,
    backend_options: { key: 5 },
  });
  assert.throws(() => parseDisk("backend=nowhere.ts", 1), {
    message: "--disk backend nowhere.ts: no such file",
  });
});
