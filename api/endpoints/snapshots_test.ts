/** Snapshots by the API: what is saved goes on elsewhere. */
import assert from "node:assert/strict";
import { KVM, needing, root } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { ECHOES } from "../../vmm/testing/tiny_guest.ts";
import { TestApi } from "../testing/test_api.ts";

const HANDLER =
  new URL("../../examples/page_handler.ts", import.meta.url).pathname;
const RUNNING = "Create snapshot error: Cannot save the microVM state: " +
  "Operation not allowed: save/restore unavailable while running";
const CONFIGURED = "Load snapshot error: Loading a microVM snapshot not " +
  "allowed after configuring boot-specific resources.";

/** A folder with a guest that echoes, a disk, and room for snapshots. */
class Folder implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  readonly files = {
    snapshot_path: `${this.path}/vm.state`,
    mem_file_path: `${this.path}/vm.mem`,
  };
  readonly disk = `${this.path}/disk.img`;

  constructor() {
    Deno.writeFileSync(`${this.path}/kernel`, ECHOES);
    Deno.writeFileSync(this.disk, new Uint8Array(1 << 20));
  }

  async started(test: TestApi): Promise<void> {
    const kernel = { kernel_image_path: `${this.path}/kernel`, boot_args: "" };
    const disk = {
      ...{ drive_id: "d", path_on_host: this.disk, is_root_device: false },
    };
    await test.good("PUT", "/machine-config", {
      vcpu_count: 1,
      mem_size_mib: 16,
    });
    await test.good("PUT", "/boot-source", kernel);
    await test.good("PUT", "/drives/d", disk);
    await test.good("PUT", "/actions", { action_type: "InstanceStart" });
    await until(() => test.output.includes("hi"), "hi");
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** A socket's name is there a moment before it has `__SO_ACCEPTCON`. */
function listens(path: string): boolean {
  const lines = Deno.readTextFileSync("/proc/net/unix").split("\n");
  const found = lines.find((line) => line.endsWith(` ${path}`))?.split(" ");
  return (parseInt(found?.[3] ?? "0", 16) & 0x1_0000) !== 0;
}

async function echoes(test: TestApi, text: string): Promise<void> {
  test.api.vm.machine.input(new TextEncoder().encode(text));
  await until(() => test.output.includes(text), text, () => test.output);
}

Deno.test(needing([KVM], {
  name:
    "API snapshot: created while paused, in two files, and loaded as often as one likes",
  async fn() {
    using folder = new Folder();
    const { files } = folder;
    let config: unknown;
    {
      await using test = new TestApi();
      await folder.started(test);
      assert.equal(await test.bad("PUT", "/snapshot/create", files), RUNNING);
      await test.good("PATCH", "/vm", { state: "Paused" });
      await test.good("PUT", "/snapshot/create", files);
      const none = { ...files, mem_file_path: "/none/vm.mem" };
      assert.match(
        await test.bad("PUT", "/snapshot/create", none),
        /^Create snapshot error: No such file or directory \(os error 2\)/,
      );
      config = await test.good("GET", "/vm/config");
      await test.good("PATCH", "/vm", { state: "Resumed" });
      await echoes(test, "goes on");
      assert.equal(
        await test.bad("PUT", "/snapshot/load", files),
        "The requested operation is not supported after starting the microVM.",
      );
    }
    const names = [...Deno.readDirSync(folder.path)].map(({ name }) => name);
    assert.deepEqual(names.sort(), [
      "disk.img",
      "kernel",
      "vm.mem",
      "vm.state",
    ]);
    {
      await using test = new TestApi();
      const answer = await test.ask("PUT", "/snapshot/load", files);
      assert.deepEqual([answer.status, answer.deprecated], [204, true]);
      const { state } = await test.good("GET", "/") as { state: string };
      assert.equal(state, "Paused");
      assert.deepEqual(await test.good("GET", "/vm/config"), {
        ...config as object,
        "boot-source": null,
      });
      await test.good("PATCH", "/vm", { state: "Resumed" });
      await echoes(test, "once");
    }
    {
      await using test = new TestApi();
      await test.good("PUT", "/logger", { level: "Info" }); // is no matter
      await test.good("PUT", "/snapshot/load", {
        snapshot_path: files.snapshot_path,
        mem_backend: {
          backend_type: "File",
          backend_path: files.mem_file_path,
        },
        resume_vm: true,
      });
      await echoes(test, "twice");
    }
  },
}));

Deno.test(needing([KVM, root("has a userfaultfd")], {
  name:
    "API snapshot: memory comes from a program that speaks Firecracker's userfaultfd protocol; where the vsock is may be otherwise",
  async fn() {
    using folder = new Folder();
    const { files, path } = folder;
    const vsock = { guest_cid: 3, uds_path: `${path}/v.sock` };
    {
      await using test = new TestApi();
      await test.good("PUT", "/vsock", vsock);
      await folder.started(test);
      await test.good("PATCH", "/vm", { state: "Paused" });
      await test.good("PUT", "/snapshot/create", files);
    }
    // As the program has it: a folder with both.
    Deno.mkdirSync(`${path}/saved`);
    Deno.symlinkSync(files.snapshot_path, `${path}/saved/state.json`);
    const { memory } = JSON.parse(Deno.readTextFileSync(files.snapshot_path));
    Deno.renameSync(files.mem_file_path, `${path}/saved/${memory.file}`);
    const backend_path = `${path}/pages.sock`;
    await using handler = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "-A", HANDLER, `${path}/saved`, backend_path],
      stdout: "null",
    }).spawn();
    await until(() => listens(backend_path), "the handler");
    const uds_path = `${path}/other.sock`;
    {
      await using test = new TestApi();
      await test.good("PUT", "/snapshot/load", {
        snapshot_path: files.snapshot_path,
        mem_backend: { backend_type: "Uffd", backend_path },
        vsock_override: { uds_path },
        clock_realtime: true,
        resume_vm: true,
      });
      await echoes(test, "on demand");
      assert.ok(Deno.statSync(uds_path).isSocket);
      const config = await test.good("GET", "/vm/config") as { vsock: unknown };
      assert.deepEqual(config.vsock, { ...vsock, uds_path });
    }
    await handler.status;
  },
}));

Deno.test(needing([KVM], {
  name: "API snapshot: it names the image that a running disk was given",
  async fn() {
    using folder = new Folder();
    const { files } = folder;
    const other = `${folder.path}/other.img`;
    Deno.writeFileSync(other, new Uint8Array(1 << 20));
    {
      await using test = new TestApi();
      await folder.started(test);
      const path_on_host = other;
      await test.good("PATCH", "/drives/d", { drive_id: "d", path_on_host });
      await test.good("PATCH", "/vm", { state: "Paused" });
      await test.good("PUT", "/snapshot/create", files);
    }
    Deno.removeSync(folder.disk);
    {
      await using test = new TestApi();
      await test.good("PUT", "/snapshot/load", { ...files, resume_vm: true });
      await echoes(test, "of the other");
    }
    Deno.removeSync(other);
    await using test = new TestApi();
    assert.match(
      await test.bad("PUT", "/snapshot/load", files),
      /: No such file or directory \(os error 2\) \/\S+\/other\.img$/,
    );
    await until(() => test.isFatal, "the process's end");
  },
}));

Deno.test(needing([KVM], {
  name:
    "API snapshot: what can't be loaded is 400, and the end of its process; after a configuration it is only 400",
  async fn() {
    using folder = new Folder();
    const { files } = folder;
    const load = async (body: object, text: RegExp) => {
      await using test = new TestApi();
      assert.match(await test.bad("PUT", "/snapshot/load", body), text);
      await until(() => test.isFatal, "the process's end");
    };
    await load(files, /^Load snapshot error: No such file or directory \(os/);
    {
      await using test = new TestApi();
      await folder.started(test);
      await test.good("PATCH", "/vm", { state: "Paused" });
      await test.good("PUT", "/snapshot/create", files);
    }
    const network_overrides = [{ iface_id: "x", host_dev_name: "tap9" }];
    await load({ ...files, network_overrides }, /no network device x/);
    await load(
      { ...files, vsock_override: { uds_path: "/s" } },
      /no vsock device/,
    );
    const noState = { ...files, snapshot_path: files.mem_file_path };
    await load(noState, /is no state of Vireo's|too large/);
    Deno.removeSync(folder.disk);
    await load(files, /No such file|no such file/);
    await using test = new TestApi();
    await test.good("PATCH", "/machine-config", { vcpu_count: 1 });
    assert.equal(await test.bad("PUT", "/snapshot/load", files), CONFIGURED);
    assert.equal(test.isFatal, false);
  },
}));
