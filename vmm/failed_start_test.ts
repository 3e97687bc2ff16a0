/** A start that fails, at whatever step, leaves nothing behind. */
import assert from "node:assert/strict";
import { KVM, type Need, needing, NETWORKS } from "../ffi/testing/needs.ts";
import { SystemCalls } from "../ffi/testing/system_calls.ts";
import { readPayload } from "../images/payload/payload.ts";
import type { VmConfig } from "./config/types.ts";
import { DeviceThread } from "./device_thread.ts";
import { startPasst } from "./devices/passt.ts";
import { Machine } from "./machine.ts";
import { failing, FakeWorkers, WorkersInstead } from "./testing/workers.ts";
import { heldAgain, heldAtRest } from "./testing/held.ts";
import { TestNetwork } from "./testing/mod.ts";
import { HI } from "./testing/tiny_guest.ts";

const payload = await readPayload();

const DEVICE = `data:text/javascript,${
  encodeURIComponent(`export default class {
    deviceId = 63;
    features = [0, 0];
    queueSizes = [8];
    config = new Uint8Array();
    attach() {}
    activate() {}
    notify() {}
    reset() {}
    close() {}
  }`)
}`;
const HANDLER = "data:text/javascript,export default () => {}";
const BAD_MODULE = "data:text/javascript,throw new Error('bad module')";

const LIMITS = { ops: { size: 100, refill_time: 100 } };

/** A folder with what machines need, and where they have their files. */
class Folder implements Disposable {
  readonly path: string = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  readonly #switch: Deno.Listener;

  constructor() {
    Deno.writeFileSync(this.of("kernel"), payload);
    Deno.writeFileSync(this.of("initrd"), new Uint8Array(100));
    for (const disk of ["a", "b", "c"]) {
      Deno.writeFileSync(this.of(disk), new Uint8Array(4096));
    }
    this.#switch = Deno.listen({ transport: "unix", path: this.of("switch") });
  }

  of(name: string): string {
    return `${this.path}/${name}`;
  }

  drive(name: string) {
    const path_on_host = this.of(name);
    return { drive_id: name, path_on_host, is_root_device: false };
  }

  /** A machine with every kind of device, but for a TAP. */
  everything(): VmConfig {
    return {
      "boot-source": {
        kernel_image_path: this.of("kernel"),
        initrd_path: this.of("initrd"),
        boot_args: "hello",
      },
      "machine-config": {
        mem_size_mib: 16,
        vcpu_count: 2,
        acpi: "on",
        carry_syscalls: true,
        memory_file: this.of("ram"),
      },
      drives: [
        { ...this.drive("a"), rate_limiter: LIMITS },
        { ...this.drive("b"), direct: true },
        { ...this.drive("c"), io_engine: "Sync", is_read_only: true },
      ],
      "network-interfaces": [
        {
          iface_id: "net0",
          socket: this.of("switch"),
          pcap: this.of("pcap"),
          rx_rate_limiter: LIMITS,
          tx_rate_limiter: LIMITS,
        },
        { iface_id: "net1", handler: HANDLER },
      ],
      vsock: { guest_cid: 3, uds_path: this.of("vsock") },
      console: { main: true, ports: [{ name: "p", path: this.of("port") }] },
      entropy: { rate_limiter: LIMITS },
      balloon: {
        amount_mib: 0,
        deflate_on_oom: false,
        stats_polling_interval_s: 1,
      },
      devices: [{ module: DEVICE }],
    };
  }

  /** A guest that never ends, with a disk and a balloon. */
  endless(): VmConfig {
    return {
      "boot-source": { kernel_image_path: HI, boot_args: "" },
      "machine-config": { mem_size_mib: 8 },
      drives: [this.drive("a")],
      balloon: { amount_mib: 0, deflate_on_oom: false },
    };
  }

  [Symbol.dispose](): void {
    this.#switch.close();
    Deno.removeSync(this.path, { recursive: true });
  }
}

/**
 * Does `action` again and again, and each time another system call fails.
 *
 * @returns the calls that failed
 */
async function failEachCall(
  folder: Folder,
  action: (calls: SystemCalls) => Promise<void>,
): Promise<string[]> {
  using workers = new FakeWorkers();
  using calls = new SystemCalls();
  calls.failAt(Infinity);
  await action(calls); // loads what there is to load
  const before = await heldAtRest(folder.path);
  const failed: string[] = [];
  for (;;) {
    calls.failAt(failed.length);
    let outcome = "goes on";
    await action(calls).catch((error) => outcome = String(error));
    if (calls.failed === undefined) return failed;
    const step = `call ${failed.length}, ${calls.failed}: ${outcome}`;
    failed.push(calls.failed);
    assert.doesNotMatch(outcome, /suppressed/, "the cause is told");
    await heldAgain(folder.path, before, step);
    assert.deepEqual(calls.mapped, [], step);
    assert.equal(workers.living, 0, step);
  }
}

/** Makes a machine, and ends it without a start. */
async function make(config: VmConfig): Promise<void> {
  await using _machine = await Machine.create(config);
}

/** Makes the devices of a machine in this thread; only these calls may fail. */
async function makeDevices(
  config: VmConfig,
  calls: SystemCalls,
): Promise<void> {
  using other = calls.suspended();
  using workers = new FakeWorkers();
  await using machine = await Machine.create(config);
  machine.start();
  other[Symbol.dispose]();
  using _devices = await DeviceThread.make(
    workers.deviceStart!,
    () => {},
    new MessageChannel().port1,
  );
}

/** All of `names` are among `failed`. */
function assertAmong(failed: string[], names: string[]): void {
  for (const name of names) assert.ok(failed.includes(name), name);
}

function startTest(
  name: string,
  body: (folder: Folder) => Promise<void>,
  needs: Need[] = [],
): void {
  Deno.test(needing([KVM, ...needs], {
    name: `failed start: ${name}`,
    async fn() {
      using folder = new Folder();
      await body(folder);
    },
  }));
}

startTest("each system call of the main isolate", async (folder) => {
  const failed = await failEachCall(folder, () => make(folder.everything()));
  assert.ok(failed.length > 60, `${failed.length}`);
  assertAmong(failed, ["open", "mmap", "ioctl_value", "ioctl_buffer"]);
  assertAmong(failed, ["eventfd", "flock", "bind", "listen", "connect"]);
});

startTest("each system call of the device worker", async (folder) => {
  const config = folder.everything();
  // What is the main isolate's alone takes long, each time.
  const { acpi } = config["machine-config"]!;
  config["machine-config"] = { mem_size_mib: 16, acpi };
  const failed = await failEachCall(
    folder,
    (calls) => makeDevices(config, calls),
  );
  assert.ok(failed.length > 100, `${failed.length}`);
  assertAmong(failed, ["mmap", "ioctl_buffer", "eventfd", "timerfd_create"]);
  assertAmong(failed, ["epoll_create1", "epoll_ctl"]);
  assertAmong(failed, ["io_uring_setup", "io_uring_register"]);
});

startTest("each system call of the device worker, over PCI", async (folder) => {
  const config = folder.endless();
  config["machine-config"]!.transport = "pci";
  const failed = await failEachCall(
    folder,
    (calls) => makeDevices(config, calls),
  );
  assertAmong(failed, ["eventfd", "ioctl_buffer"]);
});

startTest("each system call for a TAP", async (folder) => {
  using network = new TestNetwork({ multiQueue: true });
  const config = folder.endless();
  delete config.drives;
  delete config.balloon;
  config["network-interfaces"] = [{
    iface_id: "net",
    host_dev_name: "tap0",
    netns: network.netns,
    queues: 2,
  }];
  const failed = await failEachCall(folder, () => make(config));
  assertAmong(failed, ["setns", "ioctl_buffer"]);
  await failEachCall(folder, (calls) => makeDevices(config, calls));
}, [NETWORKS]);

Deno.test("failed start: no passt is left that waits for its client", () => {
  using calls = new SystemCalls();
  calls.failAt(0);
  const { Command } = Deno;
  Deno.Command = function () {
    assert.fail("it is started");
  } as never;
  try {
    assert.throws(startPasst, /^SystemError: socket: EMFILE/);
  } finally {
    Deno.Command = Command;
  }
});

startTest("each worker", async (folder) => {
  const before = await heldAtRest(folder.path);
  for (let left = 0; left < 3; left++) {
    using workers = new FakeWorkers(left);
    // The devices' is started at once for a device of the user's own.
    await assert.rejects(make(folder.everything()), /no more threads/);
    assert.equal(workers.living, 0);
    await heldAgain(folder.path, before, `${left} workers`);
  }
  using workers = new FakeWorkers(1);
  await using machine = await Machine.create(folder.endless());
  machine.start();
  const { reason, message } = await machine.wait();
  assert.deepEqual([reason, message], ["error", "Error: no more threads"]);
  assert.equal(workers.living, 0);
  await heldAgain(folder.path, before, "no device worker");
});

/** Starts a machine, which fails; what was held before is held again. */
async function fails(
  folder: Folder,
  config: VmConfig,
  message: RegExp,
): Promise<void> {
  const before = await heldAtRest(folder.path);
  {
    await using machine = await Machine.create(config);
    let told: string | undefined;
    try {
      machine.start();
    } catch (error) {
      told = String(error); // a vCPU's worker has failed before
    }
    const end = await machine.wait();
    assert.equal(end.reason, "error");
    assert.match(told ?? end.message!, message);
  }
  await heldAgain(folder.path, before, String(message));
}

/** Deno opens files of its own for the first workers. */
async function warmUp(folder: Folder): Promise<void> {
  await using machine = await Machine.create(folder.endless());
  machine.start();
  await machine.balloon.stats();
}

startTest("each module of a worker", async (folder) => {
  await warmUp(folder);
  for (const entry of ["vcpu_worker.ts", "device_worker.ts"]) {
    using _workers = new WorkersInstead(entry, new URL(BAD_MODULE));
    const config = folder.endless();
    config["machine-config"]!.memory_file = folder.of("ram");
    await fails(folder, config, /bad module/);
  }
});

startTest("system calls in the workers themselves", async (folder) => {
  await warmUp(folder);
  for (const call of [0, 1, 2, 3]) {
    using _workers = failing("vcpu_worker.ts", call);
    await fails(folder, folder.endless(), /E(INVAL|NOMEM)/);
  }
  const config = folder.endless();
  delete config.drives; // a disk would go on without io_uring
  for (const call of [0, 3, 5, 7, 9]) {
    using _workers = failing("device_worker.ts", call);
    await fails(folder, config, /E(MFILE|NOMEM|NOSPC)/);
  }
});

startTest("modules of the user's own, in real workers", async (folder) => {
  await warmUp(folder);
  const before = await heldAtRest(folder.path);
  const config = folder.everything();
  config.devices!.push({ module: BAD_MODULE });
  for (let round = 0; round < 4; round++) {
    await assert.rejects(make(config), /bad module/);
  }
  config.devices!.pop();
  config["network-interfaces"]![1]!.handler = BAD_MODULE;
  await assert.rejects(make(config), /bad module/);
  await heldAgain(folder.path, before, "bad module");
});
