/** Twenty machines at once, each a process of `bin/firecracker`. */
import assert from "node:assert/strict";
import { exists } from "../ffi/file.ts";
import { KVM, needing, NETWORKS } from "../ffi/testing/needs.ts";
import { TestNamespace } from "../ffi/testing/tap.ts";
import { prepared } from "../images/linux/prepare.ts";
import { LINUX } from "../images/testing/prepared.ts";
import { connect, echoed } from "../vmm/testing/vsock.ts";
import type { Client } from "./testing/client.ts";
import { ApiProcess } from "./testing/process.ts";

const MACHINES = 20;
const PORT = 52;
/** How long a machine may take to answer: the host may be crowded. */
const PATIENCE_MS = 300_000;
const NUMBERS = Array.from({ length: MACHINES }, (_, number) => number);

/** A machine's guest sends back what it gets over its vsock. */
async function reached(process: ApiProcess, number: number): Promise<void> {
  const data = new Uint8Array(50_000 + number).fill(number);
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error(`${number} doesn't answer: ${process.stderr}`)),
    PATIENCE_MS,
  );
  const talk = async () => {
    const path = `${process.folder}/v.sock`;
    return await echoed(await connect(path, PORT), data);
  };
  try {
    assert.deepEqual(await Promise.race([talk(), late]), data);
  } finally {
    clearTimeout(timer);
  }
}

async function save(client: Client, { folder }: ApiProcess): Promise<void> {
  await client.done("PATCH", "/vm", { state: "Paused" });
  await client.done("PUT", "/snapshot/create", {
    snapshot_path: `${folder}/state`,
    mem_file_path: `${folder}/memory`,
  });
}

/** A machine of what `from` has saved, with what is its own. */
async function load(
  client: Client,
  from: string,
  { folder }: ApiProcess,
  number: number,
): Promise<void> {
  await client.done("PUT", "/snapshot/load", {
    snapshot_path: `${from}/state`,
    mem_backend: { backend_type: "File", backend_path: `${from}/memory` },
    network_overrides: [{ iface_id: "eth0", host_dev_name: `tap${number}` }],
    vsock_override: { uds_path: `${folder}/v.sock` },
    resume_vm: true,
  });
}

/** Boots the machine whose guest all of them have. */
async function booted(client: Client, process: ApiProcess): Promise<void> {
  const guest = (await prepared("small"))!;
  await client.done("PUT", "/machine-config", {
    vcpu_count: 1,
    mem_size_mib: 64,
  });
  await client.done("PUT", "/boot-source", {
    kernel_image_path: guest.kernel,
    boot_args: "console=ttyS0 reboot=k panic=-1 quiet",
  });
  await client.done("PUT", "/drives/root", {
    ...{ drive_id: "root", path_on_host: guest.rootfs },
    ...{ is_root_device: true, is_read_only: true },
  });
  const nic = { iface_id: "eth0", host_dev_name: "tap0" };
  await client.done("PUT", "/network-interfaces/eth0", nic);
  const uds_path = `${process.folder}/v.sock`;
  await client.done("PUT", "/vsock", { guest_cid: 3, uds_path });
  await client.done("PUT", "/actions", { action_type: "InstanceStart" });
  await process.until(() => process.stdout.includes("/ # "), "a shell");
  const writer = process.child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(
    `while :; do vsock listen ${PORT} cat; done &\n`,
  ));
  writer.releaseLock();
}

/** What they have left where temporary files are, by their beginnings. */
function leftOver(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name)
    .filter((name) => /^(vireo-load-|\.vireo-)/.test(name)).toSorted();
}

Deno.test(needing([KVM, LINUX, NETWORKS], {
  name:
    `API: a fleet of ${MACHINES}: started from one that was booted, reached over vsock, saved, restored elsewhere, stopped; nothing is left`,
  async fn() {
    using network = new TestNamespace();
    for (const number of NUMBERS) {
      network.ip("tuntap", "add", `tap${number}`, "mode", "tap");
    }
    await using stack = new AsyncDisposableStack();
    // Not that of all, where others of the host make and remove the same.
    const temporary = stack.adopt(
      Deno.makeTempDirSync({ prefix: "vireo-test-" }),
      (path) => Deno.removeSync(path, { recursive: true }),
    );
    const start = () =>
      stack.use(
        new ApiProcess({
          launcher: true,
          through: [
            ...["ip", "netns", "exec", network.name],
            ...["env", `TMPDIR=${temporary}`],
          ],
          args: ["--log-path", "log"],
          files: () => ({ log: "" }),
        }),
      );
    const first = start();
    {
      using client = await first.client();
      await booted(client, first);
      await reached(first, 0);
      await save(client, first);
      first.child.kill("SIGTERM");
      assert.equal(await first.end(), "SIGTERM");
    }
    const fleet = NUMBERS.map(start);
    await Promise.all(fleet.map(async (process, number) => {
      using client = await process.client();
      await load(client, first.folder, process, number);
      await reached(process, number);
    }));
    for (const { child: { pid } } of fleet) {
      const name = Deno.readTextFileSync(`/proc/${pid}/comm`);
      assert.equal(name, "firecracker\n", "all of them run at once");
    }
    const others = NUMBERS.map(start);
    await Promise.all(fleet.map(async (process, number) => {
      {
        using client = await process.client();
        await save(client, process);
      }
      process.child.kill("SIGTERM");
      assert.equal(await process.end(), "SIGTERM");
      using client = await others[number]!.client();
      await load(client, process.folder, others[number]!, number);
      await reached(others[number]!, number);
    }));
    await Promise.all(others.map(async (process) => {
      process.child.kill("SIGTERM");
      assert.equal(await process.end(), "SIGTERM");
    }));
    for (const process of [first, ...fleet, ...others]) {
      assert.ok(!exists(`/proc/${process.child.pid}`));
      const names = [...Deno.readDirSync(process.folder)]
        .map(({ name }) => name).toSorted();
      // Its sockets stay, as Firecracker's do; what it was told to write, too.
      const saved = others.includes(process) ? [] : ["memory", "state"];
      const sockets = ["api.socket", "v.sock"];
      assert.deepEqual(names, ["log", ...saved, ...sockets].toSorted());
    }
    // Nobody has them open any more.
    for (const number of NUMBERS) {
      network.ip("tuntap", "delete", `tap${number}`, "mode", "tap");
    }
    assert.deepEqual(leftOver(temporary), []);
  },
}));
