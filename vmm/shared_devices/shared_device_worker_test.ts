/** Machines whose devices share a thread don't disturb each other. */
import assert from "node:assert/strict";
import { EventFd } from "../../ffi/eventfd.ts";
import { Recorder } from "../../ffi/recorder.ts";
import { KVM, needing, NETWORKS } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { devicePlaces } from "../../devices/virtio/transport/device_state.ts";
import { GuestMemory } from "../../guest/memory.ts";
import { readPayload } from "../../images/payload/payload.ts";
import type { VmConfig } from "../config/types.ts";
import { Command, Control } from "../control.ts";
import { Machine } from "../machine.ts";
import type { MachineOptions } from "../machine_options.ts";
import type { DeviceWorkerStart, WorkerMessage } from "../messages.ts";
import { heldAgain, heldAtRest, workerThreads } from "../testing/held.ts";
import { TestMachine, TestNetwork } from "../testing/mod.ts";
import { HI } from "../testing/tiny_guest.ts";
import { WorkersInstead } from "../testing/workers.ts";
import { SharedDeviceWorker } from "./shared_device_worker.ts";

const MiB = 1 << 20;
const payload = await readPayload();

/** A folder with disks. */
class Folder implements Disposable {
  readonly path: string = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  #disks = 0;

  /** A machine that does `words` with a disk of its own. */
  config(words: string, more: Partial<VmConfig> = {}): VmConfig {
    const path_on_host = `${this.path}/disk${this.#disks++}`;
    Deno.writeFileSync(path_on_host, new Uint8Array(MiB));
    return {
      "boot-source": { kernel_image_path: payload, boot_args: words },
      "machine-config": { mem_size_mib: 16 },
      drives: [{ drive_id: "disk", path_on_host, is_root_device: false }],
      ...more,
    };
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** A machine that writes and flushes blocks for ever, and says so. */
async function journal(
  folder: Folder,
  options: MachineOptions,
): Promise<TestMachine> {
  const test = await TestMachine.create(folder.config("journal"), options);
  test.machine.start();
  await test.printed(/journal: 3\r?\n/);
  return test;
}

/** It has written some more blocks. */
async function goesOn(test: TestMachine): Promise<void> {
  test.clear();
  await test.printed(/(journal: \d+\r?\n){3}/);
  assert.deepEqual(test.log, []);
}

Deno.test(needing([KVM, NETWORKS], {
  name: "SharedDeviceWorker: both machines use disk and network; one ends",
  async fn() {
    using folder = new Folder();
    using networks = new DisposableStack();
    const deviceWorker = new SharedDeviceWorker();
    const demo = () => {
      const { netns, host, guest } = networks.use(new TestNetwork());
      return folder.config(`demo pings=20 ip=${guest} peer=${host}`, {
        "network-interfaces": [
          { iface_id: "eth0", host_dev_name: "tap0", netns },
        ],
      });
    };
    await using neighbour = await journal(folder, { deviceWorker });
    const run = async () => {
      await using test = await TestMachine.create(demo(), { deviceWorker });
      return await test.run();
    };
    const both = await Promise.all([run(), run()]);
    for (const { end, output, log } of both) {
      assert.deepEqual(end, { reason: "reset" }, output);
      assert.match(output, /payload: ok/);
      assert.deepEqual(log, []);
    }
    assert.equal(deviceWorker.machines, 1);
    await goesOn(neighbour);
  },
}));

Deno.test(needing([KVM], {
  name: "SharedDeviceWorker: a hostile guest does its neighbour nothing",
  async fn() {
    using folder = new Folder();
    const deviceWorker = new SharedDeviceWorker();
    await using neighbour = await journal(folder, { deviceWorker });
    await using hostile = await TestMachine.create(
      folder.config("hostile=all"),
      { deviceWorker },
    );
    const { end, output } = await hostile.run();
    assert.equal(end.reason, "reset", output);
    assert.match(output, /payload: ok/);
    await goesOn(neighbour);
  },
}));

Deno.test(needing([KVM], {
  name: "SharedDeviceWorker: one is paused, saved, put back and restored",
  async fn() {
    using folder = new Folder();
    const deviceWorker = new SharedDeviceWorker();
    await using neighbour = await journal(folder, { deviceWorker });
    await using test = await journal(folder, { deviceWorker });
    const { machine } = test;
    await machine.pause();
    await goesOn(neighbour);
    using snapshot = await machine.snapshot();
    await machine.resume();
    await goesOn(test);
    await machine.reset(snapshot);
    await goesOn(test);
    await machine.stop();
    await using again = await TestMachine.of((options) =>
      Machine.restore(snapshot, {}, { ...options, deviceWorker })
    );
    again.machine.start();
    await goesOn(again);
    await goesOn(neighbour);
    assert.equal(deviceWorker.machines, 2);
  },
}));

/** What a thread is told of a device that `module` makes. */
function deviceStart(
  control: Control,
  controlFd: EventFd,
  memory: GuestMemory,
  module: string,
): DeviceWorkerStart {
  const device = {
    name: "a device",
    make: `data:text/javascript,${encodeURIComponent(module)}`,
    data: undefined,
    plain: { index: 0 } as never, // not connected to a VM
    state: devicePlaces(1)[0]!,
    window: 0,
    gsi: 0,
  };
  return {
    control: control.shared,
    controlFd: controlFd.fd,
    vmFd: -1,
    memory: memory.handles(),
    devices: [device],
    record: Recorder.create(1),
    pollMicroseconds: 50,
    packed: false,
    irqfd: false,
    mapped: false,
  };
}

const FAILING: Record<string, [module: string, says: RegExp]> = {
  "can't be made": [
    `export const make = () => { throw new Error("no such thing"); }`,
    /no such thing/,
  ],
  "fails at work": [
    `export const make = () => ({
      deviceId: 63, features: [0, 0], queueSizes: [],
      config: new Uint8Array(),
      attach() {}, activate() {}, notify() {}, reset() {}, close() {},
      poll() { throw new Error("out of order"); },
    })`,
    /out of order/,
  ],
};

for (const [what, [module, says]] of Object.entries(FAILING)) {
  Deno.test(needing([KVM], {
    name: `SharedDeviceWorker: a device that ${what} ends its machine alone`,
    async fn() {
      using folder = new Folder();
      const deviceWorker = new SharedDeviceWorker();
      await using neighbour = await journal(folder, { deviceWorker });
      const said: WorkerMessage[] = [];
      const place = deviceWorker.join((message) => void said.push(message));
      using controlFd = new EventFd();
      using memory = GuestMemory.allocate(MiB);
      place.post(deviceStart(new Control(), controlFd, memory, module));
      await place.stopped;
      place.terminate();
      const ends = said.filter(({ type }) => type === "end");
      assert.equal(ends.length, 1);
      assert.match(JSON.stringify(ends), says);
      await goesOn(neighbour);
    },
  }));
}

Deno.test(needing([KVM], {
  name: "SharedDeviceWorker: of many machines nothing is left",
  async fn() {
    using folder = new Folder();
    const deviceWorker = new SharedDeviceWorker();
    const disk = folder.config("hello");
    const some = (count: number) =>
      Promise.all(Array.from({ length: count }, async (_, number) => {
        await using test = await TestMachine.create(disk, { deviceWorker });
        if (number === 1) return; // it is never started
        assert.deepEqual((await test.run()).end, { reason: "reset" });
      }));
    disk.drives![0]!.is_read_only = true; // they share it
    await some(3); // Deno's own are there afterwards
    const held = await heldAtRest(folder.path);
    for (let round = 0; round < 5; round++) await some(4);
    assert.equal(deviceWorker.machines, 0);
    await heldAgain(folder.path, held, "after all are gone");
    // The same while the thread stays.
    {
      await using neighbour = await journal(folder, { deviceWorker });
      const open = () => Deno.readDirSync("/proc/self/fd").toArray().length;
      // Its vCPU's, and that of the devices.
      const alone = () => workerThreads().length === 2;
      await some(3);
      await until(alone, "end of the others' threads", workerThreads);
      const before = open();
      for (let round = 0; round < 5; round++) await some(4);
      await until(
        () => alone() && open() <= before,
        `${before} descriptors and two threads`,
        () => `${open()}, ${workerThreads()}`,
      );
      await goesOn(neighbour);
    }
    await heldAgain(folder.path, {
      ...held,
      files: [...held.files, "disk1"],
    }, "after all are gone");
  },
}));

Deno.test(needing([KVM], {
  name: "SharedDeviceWorker: its failure ends all of its machines, and says so",
  async fn() {
    using folder = new Folder();
    const url = new URL("../testing/dying_shared_worker.ts", import.meta.url);
    using _workers = new WorkersInstead("shared_devices/worker.ts", url);
    const deviceWorker = new SharedDeviceWorker();
    await using first = await journal(folder, { deviceWorker });
    await using second = await TestMachine.create(
      folder.config("journal"),
      { deviceWorker },
    );
    second.machine.start();
    for (const { machine } of [first, second]) {
      const { reason, message } = await machine.wait();
      assert.equal(reason, "error");
      assert.match(
        message!,
        /^the device worker that 2 machines share has failed: .*one is enough/,
      );
    }
    assert.equal(deviceWorker.machines, 0);
  },
}));

Deno.test(needing([KVM], {
  name: "SharedDeviceWorker: a machine with code of the user's own is refused",
  async fn() {
    const deviceWorker = new SharedDeviceWorker();
    await assert.rejects(
      Machine.create({
        "boot-source": { kernel_image_path: HI },
        devices: [{ module: "data:text/javascript,export default class {}" }],
      }, { deviceWorker }),
      /^VireoError: a machine with code of your own .* leave deviceWorker out$/,
    );
    assert.equal(deviceWorker.machines, 0);
  },
}));

Deno.test("SharedDeviceWorker: a machine that is told to stop at once, does", async () => {
  const deviceWorker = new SharedDeviceWorker();
  const said: string[] = [];
  const place = deviceWorker.join(({ type }) => void said.push(type));
  const control = new Control();
  using controlFd = new EventFd();
  const [module] = FAILING["fails at work"]!;
  control.deviceCommand = Command.STOP;
  controlFd.signal();
  using memory = GuestMemory.allocate(MiB);
  place.post(deviceStart(control, controlFd, memory, module));
  await place.stopped;
  assert.deepEqual(said, ["commands", "ready", "stopped"]);
  place.terminate();
  assert.equal(deviceWorker.machines, 0);
});
