/** Configuration space, doorbells, stopped queues, and random accesses. */
import assert from "node:assert/strict";
import { EventFd } from "../../../ffi/eventfd.ts";
import { Random } from "../../../guest/testing/random.ts";
import { MAX_CONFIG, MAX_QUEUES } from "../spec.ts";
import { DeviceState } from "./device_state.ts";
import { MmioRegister, MmioTransport } from "./mmio.ts";
import { Interrupt, Status } from "../spec.ts";
import { MockDriver } from "../testing/mod.ts";
import { RecordingDevice } from "../testing/device.ts";

const CONFIG = MmioRegister.Config;

/** A driver of a device that records, started. */
function started(): { driver: MockDriver; device: RecordingDevice } {
  const device = new RecordingDevice();
  const driver = new MockDriver(device);
  driver.start();
  device.calls.length = 0;
  return { device, driver };
}

Deno.test("config: reads of 1, 2 and 4 bytes at any offset (§4.2.2.2)", () => {
  using driver = started().driver;
  assert.equal(driver.get(CONFIG, 1), 1);
  assert.equal(driver.get(CONFIG + 7, 1), 8);
  assert.equal(driver.get(CONFIG + 2, 2), 0x0403);
  assert.equal(driver.get(CONFIG + 1, 2), 0x0302);
  assert.equal(driver.get(CONFIG + 4, 4), 0x08070605);
});

Deno.test("config: bytes of a word above 0x7f stay unsigned", () => {
  const device = new RecordingDevice({ config: new Uint8Array(4).fill(0xff) });
  using driver = new MockDriver(device);
  assert.equal(driver.get(CONFIG, 4), 0xffff_ffff);
});

Deno.test("config: beyond the end reads 0", () => {
  using driver = started().driver;
  assert.equal(driver.get(CONFIG + 6, 4), 0x0807);
  assert.equal(driver.get(CONFIG + 8, 4), 0);
  assert.equal(driver.get(0xffc, 4), 0);
  assert.equal(driver.get(0xfff, 4), 0);
});

Deno.test("config: writes reach the device, whole or not at all", () => {
  const { driver, device } = started();
  using _ = driver;
  driver.set(CONFIG + 1, 0xab, 1);
  driver.set(CONFIG + 4, 0xdeadbeef, 4);
  driver.set(CONFIG + 6, 1, 4);
  driver.set(CONFIG + 8, 1, 1);
  assert.deepEqual(device.calls, [
    "config 1/1 = 171",
    "config 4/4 = 3735928559",
  ]);
  assert.equal(driver.get(CONFIG + 1, 1), 2, "the device decides");
});

Deno.test("config: the generation differs while and after a change (§2.5.3)", () => {
  const { driver, device } = started();
  using _ = driver;
  const before = driver.get(MmioRegister.ConfigGeneration);
  let during = before;
  device.context.configChanged((config) => {
    config[0] = 99;
    during = driver.get(MmioRegister.ConfigGeneration);
  });
  const after = driver.get(MmioRegister.ConfigGeneration);
  assert.equal(new Set([before, during, after]).size, 3);
  assert.equal(driver.get(CONFIG, 1), 99);
  assert.equal(driver.acknowledge(), Interrupt.CONFIG_CHANGE);
});

Deno.test("config: a change before DRIVER_OK makes no interrupt (§2.1.2)", () => {
  const device = new RecordingDevice();
  using driver = new MockDriver(device);
  device.context.configChanged((config) => config[0] = 7);
  assert.equal(driver.interrupts, 0);
  assert.equal(driver.get(MmioRegister.InterruptStatus), 0);
});

Deno.test("DeviceState: a device with too many queues or config is refused", () => {
  const queueSizes = new Array(MAX_QUEUES + 1).fill(2);
  const config = new Uint8Array(MAX_CONFIG + 1);
  for (const options of [{ queueSizes }, { config }]) {
    const device = new RecordingDevice(options);
    assert.throws(() => new MockDriver(device), RangeError);
  }
  const most = { queueSizes: queueSizes.slice(1), config: config.subarray(1) };
  using driver = new MockDriver(new RecordingDevice(most));
  driver.start({ queueSize: 2 });
  assert.equal(driver.activated.queues.length, MAX_QUEUES);
  assert.equal(driver.activated.queues.every((queue) => queue.live), true);
});

Deno.test("DeviceState: the configuration is no queue's registers", () => {
  const queueSizes = new Array(MAX_QUEUES).fill(2);
  const config = new Uint8Array(MAX_CONFIG).fill(0x5a);
  const device = new RecordingDevice({ queueSizes, config });
  using driver = new MockDriver(device);
  driver.configureQueue(MAX_QUEUES, { size: 1, desc: 2, avail: 3, used: 4 });
  assert.equal(driver.get(MmioRegister.QueueNumMax), 0);
  assert.equal(driver.get(MmioRegister.QueueReady), 0);
  assert.deepEqual(driver.state.config, config);
});

Deno.test("QueueNotify: reaches the queue that it names, and nothing else (§4.2.3.3)", () => {
  const { driver, device } = started();
  using _ = driver;
  for (const queue of [1, 0, 2, 63, 0x1_0000, 0xffff_ffff]) driver.ring(queue);
  assert.deepEqual(device.calls, ["notify 1", "notify 0"]);
});

Deno.test("QueueNotify: a queue that isn't ready, or not yet, is ignored", () => {
  const device = new RecordingDevice();
  using driver = new MockDriver(device);
  driver.ring(0);
  driver.negotiate();
  driver.setUpQueue(1, 8);
  driver.ring(1);
  driver.addStatus(Status.DRIVER_OK);
  driver.ring(0);
  driver.ring(1);
  assert.deepEqual(device.calls, ["activate 1", "notify 1"]);
});

Deno.test("QueueNotify: works through an eventfd and the event loop", () => {
  const device = new RecordingDevice();
  using driver = new MockDriver(device, { doorbellFds: true });
  driver.start();
  driver.ring(1);
  driver.ring(1);
  assert.deepEqual(device.calls, ["activate 0 1"]);
  driver.turn();
  assert.deepEqual(device.calls, ["activate 0 1", "notify 1"]);
  assert.equal(driver.turn(), 0, "the doorbell is drained");
});

Deno.test("QueueReady: 0 stops a live queue, and reads 0 once it has stopped (§4.2.2.2)", () => {
  const { driver, device } = started();
  using _ = driver;
  let during = -1;
  device.duringReset = () => during = driver.activated.queues[1]!.size;
  driver.set(MmioRegister.QueueSel, 1);
  driver.set(MmioRegister.QueueReady, 0);
  assert.equal(during, 256, "the device lets go first");
  assert.equal(driver.get(MmioRegister.QueueReady), 0);
  driver.ring(1);
  driver.ring(0);
  assert.deepEqual(device.calls, ["reset 1", "notify 0"]);
});

Deno.test("ActivatedDevice: a queue with a bad layout needs a reset, the others work (§2.1.2)", () => {
  const device = new RecordingDevice();
  using driver = new MockDriver(device);
  driver.negotiate();
  const { desc, avail, used } = driver.setUpQueue(0, 8);
  driver.configureQueue(0, { size: 7, desc, avail, used });
  driver.setUpQueue(1, 8);
  driver.addStatus(Status.DRIVER_OK);
  assert.equal(driver.status & Status.DEVICE_NEEDS_RESET, 64);
  driver.ring(0);
  driver.ring(1);
  assert.deepEqual(device.calls, ["activate 1", "notify 1"]);
  driver.start();
  assert.equal(driver.status, 0xf, "and a reset heals it");
});

Deno.test("ActivatedDevice: a queue that breaks outside of a doorbell needs a reset, too", () => {
  const { driver, device } = started();
  using _ = driver;
  using backend = new EventFd();
  const { context } = device;
  const chain = context.queues[0]!.chain();
  context.watch(backend.fd, {
    onReady() {
      backend.drain();
      context.queues[0]!.pop(chain);
    },
  });
  driver.queues[0]!.offer(99);
  backend.signal();
  driver.turn();
  assert.equal(driver.status & Status.DEVICE_NEEDS_RESET, 64);
  assert.match(driver.messages[0]!, /queue 0: descriptor index/);
  context.unwatch(backend.fd);
});

Deno.test("MmioTransport: when the machine ends, nobody waits for the device", () => {
  const state = new DeviceState();
  state.offer(63, [0, 0], [8], new Uint8Array(4));
  state.show();
  let stopping = false;
  const transport = new MmioTransport(state, {
    requestReady: () => stopping = true, // and nobody serves the request
    notify: () => {},
    stopping: () => stopping,
  });
  transport.write(CONFIG, 1, 1);
  assert.equal(stopping, true);
  transport.write(MmioRegister.Status, 4, 0);
});

Deno.test("MmioTransport: thousands of random accesses of every width throw nothing, and a reset heals", () => {
  for (const seed of [1, 2, 3]) {
    const random = new Random(seed);
    const device = new RecordingDevice();
    using driver = new MockDriver(device);
    const registers = Object.values(MmioRegister);
    for (let i = 0; i < 10_000; i++) {
      const offset = random.oneIn(3)
        ? random.below(0x1000)
        : random.of(registers);
      const size = random.oneIn(4) ? random.of([1, 2, 8]) : 4;
      const value = random.of([
        random.below(2 ** 32),
        random.below(16),
        random.below(16),
        0x1_0000 + 4 * random.below(0x1000),
      ]);
      if (random.oneIn(2)) driver.set(offset, value, size);
      else {
        const read = driver.get(offset, size);
        assert.ok(Number.isInteger(read) && read >= 0 && read < 2 ** 32);
      }
    }
    driver.start();
    device.calls.length = 0;
    driver.ring(0);
    assert.deepEqual(device.calls, ["notify 0"], `seed ${seed}`);
    assert.equal(driver.status, 0xf);
  }
});
