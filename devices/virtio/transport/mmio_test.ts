/** The virtio-mmio transport's registers (virtio 1.2 §4.2.2). */
import assert from "node:assert/strict";
import { devicePlaces, QueueWord, queueWord } from "./device_state.ts";
import { MmioRegister } from "./mmio.ts";
import { Feature, featureWords, Interrupt, Status } from "../spec.ts";
import { MockDriver } from "../testing/mod.ts";
import { RecordingDevice } from "../testing/device.ts";

const { ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, FAILED } = Status;
const V1 = featureWords(Feature.VERSION_1);

/** A driver of a device that records, offering bits 0, 5 and 40. */
function recording(): { driver: MockDriver; device: RecordingDevice } {
  const device = new RecordingDevice({ features: [0, 5, 40] });
  return { device, driver: new MockDriver(device) };
}

Deno.test("MmioTransport: magic, version 2, device and vendor id (§4.2.2.1)", () => {
  using driver = recording().driver;
  assert.equal(driver.get(MmioRegister.MagicValue), 0x74726976);
  assert.equal(driver.get(MmioRegister.Version), 2);
  assert.equal(driver.get(MmioRegister.DeviceID), 63);
  assert.equal(driver.get(MmioRegister.VendorID), 0x6f657256);
});

Deno.test("MmioTransport: features are read 32 bits at a time, 0 beyond bit 63", () => {
  using driver = recording().driver;
  const words = [0, 1, 2, 3, 0x8000_0000, 0xffff_ffff].map((select) => {
    driver.set(MmioRegister.DeviceFeaturesSel, select);
    return driver.get(MmioRegister.DeviceFeatures);
  });
  assert.deepEqual(words, [0x21, 0x101, 0, 0, 0, 0]);
});

Deno.test("MmioTransport: driver features are written by DriverFeaturesSel; bits beyond 63 go nowhere", () => {
  using driver = recording().driver;
  driver.acceptFeatures(featureWords(5, 40));
  for (const select of [2, 0xffff_ffff]) {
    driver.set(MmioRegister.DriverFeaturesSel, select);
    driver.set(MmioRegister.DriverFeatures, 0xffff_ffff);
  }
  const accepted = Array.from({ length: 64 }, (_, bit) => bit)
    .filter((bit) => driver.state.hasFeature(bit));
  assert.deepEqual(accepted, [5, 40]);
});

Deno.test("MmioTransport: FEATURES_OK is refused without VERSION_1 (§6.1)", () => {
  using driver = recording().driver;
  assert.equal(driver.negotiate(featureWords(0, 5)), false);
  assert.equal(driver.status, ACKNOWLEDGE | DRIVER);
  assert.equal(driver.negotiate(V1), true);
});

Deno.test("MmioTransport: FEATURES_OK is refused with a bit that is not offered (§2.2.2)", () => {
  using driver = recording().driver;
  for (const bit of [1, 31, 33, 63]) {
    const bits = featureWords(Feature.VERSION_1, bit);
    assert.equal(driver.negotiate(bits), false, `bit ${bit}`);
  }
  const subset = featureWords(Feature.VERSION_1, 40);
  assert.equal(driver.negotiate(subset), true, "a subset is fine");
});

Deno.test("MmioTransport: features are frozen after FEATURES_OK (§3.1.1)", () => {
  using driver = recording().driver;
  driver.negotiate(featureWords(Feature.VERSION_1, 5));
  driver.acceptFeatures(featureWords(0, 40, Feature.VERSION_1));
  assert.equal(driver.state.hasFeature(5), true);
  assert.equal(driver.state.hasFeature(0), false);
  assert.equal(driver.state.hasFeature(40), false);
});

Deno.test("MmioTransport: DRIVER_OK is refused without FEATURES_OK (§3.1.1)", () => {
  const { driver, device } = recording();
  using _ = driver;
  driver.addStatus(ACKNOWLEDGE | DRIVER);
  driver.addStatus(DRIVER_OK);
  assert.equal(driver.status, ACKNOWLEDGE | DRIVER);
  driver.addStatus(FEATURES_OK | DRIVER_OK); // no VERSION_1: both refused
  assert.equal(driver.status, ACKNOWLEDGE | DRIVER);
  assert.deepEqual(device.calls, []);
});

Deno.test("MmioTransport: DRIVER_OK activates the device once, with the ready queues", () => {
  const { driver, device } = recording();
  using _ = driver;
  driver.negotiate(V1);
  driver.setUpQueue(1, 16);
  driver.addStatus(DRIVER_OK);
  driver.addStatus(DRIVER_OK);
  assert.deepEqual(device.calls, ["activate 1"]);
  assert.equal(driver.status, 0xf);
});

Deno.test("MmioTransport: status bits are cleared by writing 0 only (§2.1.1)", () => {
  using driver = recording().driver;
  driver.start();
  for (const value of [1, 3, 7, 0xb, 0x87]) {
    driver.set(MmioRegister.Status, value);
    assert.equal(driver.status, 0xf, `after writing ${value}`);
  }
  driver.addStatus(FAILED);
  assert.equal(driver.status, 0xf | FAILED);
  driver.set(MmioRegister.Status, 0);
  assert.equal(driver.status, 0);
});

Deno.test("MmioTransport: a driver can't set DEVICE_NEEDS_RESET or reserved bits, nor clear them (§2.1)", () => {
  const { driver, device } = recording();
  using _ = driver;
  driver.start();
  driver.addStatus(0x70);
  assert.equal(driver.status, 0xf);
  device.context.needsReset("for the test");
  assert.equal(driver.status, 0xf | Status.DEVICE_NEEDS_RESET);
  driver.set(MmioRegister.Status, 0xf);
  assert.equal(driver.status, 0xf | Status.DEVICE_NEEDS_RESET);
});

Deno.test("MmioTransport: DEVICE_NEEDS_RESET comes once, with a configuration interrupt (§2.1.2)", () => {
  const { driver, device } = recording();
  using _ = driver;
  driver.start();
  device.context.needsReset("one");
  device.context.needsReset("two");
  assert.equal(driver.interrupts, 1);
  assert.equal(driver.acknowledge(), Interrupt.CONFIG_CHANGE);
  assert.deepEqual(driver.messages, ["virtio device 63: one"]);
});

Deno.test("MmioTransport: reset restores every register (§4.2.2.1)", () => {
  const { driver, device } = recording();
  using _ = driver;
  driver.start();
  device.context.configChanged((config) => config[0] = 9);
  driver.set(MmioRegister.DeviceFeaturesSel, 1);
  driver.set(MmioRegister.QueueSel, 1);
  driver.set(MmioRegister.Status, 0);
  assert.equal(driver.status, 0);
  assert.equal(driver.get(MmioRegister.InterruptStatus), 0);
  assert.equal(driver.get(MmioRegister.DeviceFeatures), 0x21, "selector 0");
  assert.equal(driver.get(MmioRegister.QueueNumMax), 8, "queue 0 selected");
  for (const queue of [0, 1]) {
    driver.set(MmioRegister.QueueSel, queue);
    assert.equal(driver.get(MmioRegister.QueueReady), 0);
    for (
      let word: number = QueueWord.SIZE;
      word < QueueWord.DEVICE + 2;
      word++
    ) {
      assert.equal(driver.state.words[queueWord(queue, word)], 0);
    }
  }
  for (let bit = 0; bit < 64; bit++) {
    assert.equal(driver.state.hasFeature(bit), false);
  }
  assert.equal(driver.get(MmioRegister.Config, 1), 9, "config is the device's");
});

Deno.test("MmioTransport: status reads 0 only after the device has let go (§2.4)", () => {
  const { driver, device } = recording();
  using _ = driver;
  driver.start();
  let during = -1;
  device.duringReset = () => during = driver.status;
  driver.set(MmioRegister.Status, 0);
  assert.equal(during, 0xf);
  assert.equal(driver.status, 0);
  assert.equal(device.calls.at(-1), "reset");
  assert.equal(device.context.queues.some((queue) => queue.live), false);
});

Deno.test("MmioTransport: a reset before DRIVER_OK does not reach the device", () => {
  const { driver, device } = recording();
  using _ = driver;
  driver.negotiate(V1);
  driver.set(MmioRegister.Status, 0);
  assert.deepEqual(device.calls, []);
});

Deno.test("MmioTransport: a device can be started again and again", () => {
  const { driver, device } = recording();
  using _ = driver;
  for (let i = 0; i < 3; i++) driver.start();
  const cycle = ["activate 0 1", "reset"];
  assert.deepEqual(device.calls, [...cycle, ...cycle, "activate 0 1"]);
});

Deno.test("MmioTransport: QueueNumMax is 0 for queues that don't exist (§4.2.2.1)", () => {
  using driver = recording().driver;
  const sizes = [0, 1, 2, 1000, 0x8000_0000, 0xffff_ffff].map((queue) => {
    driver.set(MmioRegister.QueueSel, queue);
    return driver.get(MmioRegister.QueueNumMax);
  });
  assert.deepEqual(sizes, [8, 256, 0, 0, 0, 0]);
});

Deno.test("MmioTransport: writes for a queue that doesn't exist change nothing", () => {
  using driver = recording().driver;
  const before = driver.state.words.slice();
  for (const queue of [2, 31, 0xffff_ffff]) {
    const address = 0x12345678;
    const rings = { size: 8, desc: address, avail: address, used: address };
    driver.configureQueue(queue, rings);
    assert.equal(driver.get(MmioRegister.QueueReady), 0);
  }
  driver.set(MmioRegister.QueueSel, 0);
  assert.deepEqual(driver.state.words, before);
});

Deno.test("MmioTransport: InterruptACK clears only the bits it names (§4.2.2)", () => {
  const { driver, device } = recording();
  using _ = driver;
  driver.start();
  device.context.configChanged(() => {});
  device.context.queues[0]!.push(0, 0);
  device.context.publish(device.context.queues[0]!);
  assert.equal(driver.interrupts, 2);
  assert.equal(driver.get(MmioRegister.InterruptStatus), 3);
  driver.set(MmioRegister.InterruptACK, Interrupt.USED_BUFFER);
  assert.equal(driver.get(MmioRegister.InterruptStatus), 2);
  driver.set(MmioRegister.InterruptACK, 0xffff_ffff);
  assert.equal(driver.get(MmioRegister.InterruptStatus), 0);
  driver.set(MmioRegister.InterruptStatus, 3);
  assert.equal(driver.get(MmioRegister.InterruptStatus), 0, "read-only");
});

Deno.test("MmioTransport: shared memory regions have length and base -1 (§4.2.2)", () => {
  using driver = recording().driver;
  const { SHMLenLow, SHMLenHigh, SHMBaseLow, SHMBaseHigh } = MmioRegister;
  for (const id of [0, 1, 255]) {
    driver.set(MmioRegister.SHMSel, id);
    for (const register of [SHMLenLow, SHMLenHigh, SHMBaseLow, SHMBaseHigh]) {
      assert.equal(driver.get(register), 0xffff_ffff);
    }
  }
});

Deno.test("MmioTransport: write-only and reserved registers read 0", () => {
  using driver = recording().driver;
  driver.start();
  const readable = new Set<number>([
    MmioRegister.MagicValue,
    MmioRegister.Version,
    MmioRegister.DeviceID,
    MmioRegister.VendorID,
    MmioRegister.DeviceFeatures,
    MmioRegister.QueueNumMax,
    MmioRegister.QueueReady,
    MmioRegister.InterruptStatus,
    MmioRegister.Status,
    MmioRegister.SHMLenLow,
    MmioRegister.SHMLenHigh,
    MmioRegister.SHMBaseLow,
    MmioRegister.SHMBaseHigh,
    MmioRegister.ConfigGeneration,
  ]);
  for (let offset = 0; offset < MmioRegister.Config; offset += 4) {
    if (readable.has(offset)) continue;
    assert.equal(driver.get(offset), 0, `0x${offset.toString(16)}`);
  }
});

Deno.test("MmioTransport: registers take aligned 32-bit accesses only (§4.2.2.2)", () => {
  using driver = recording().driver;
  for (const size of [1, 2, 8]) {
    assert.equal(driver.get(MmioRegister.MagicValue, size), 0);
    driver.set(MmioRegister.Status, ACKNOWLEDGE, size);
    driver.set(MmioRegister.QueueSel, 1, size);
  }
  for (const offset of [1, 2, 3]) {
    assert.equal(driver.get(MmioRegister.MagicValue + offset), 0);
    driver.set(MmioRegister.Status + offset, ACKNOWLEDGE);
  }
  assert.equal(driver.status, 0);
  assert.equal(driver.get(MmioRegister.QueueNumMax), 8);
});

Deno.test("MmioTransport: a device's page in memory is what a driver reads of its window", () => {
  const [first, second] = devicePlaces(2);
  assert.equal(second!.address - first!.address, 4096);
  const device = new RecordingDevice({ features: [0, 5, 40] });
  using driver = new MockDriver(device);
  const { words, page } = driver.state;
  assert.equal(page.length, 4096);
  const same = (when: string) => {
    for (let offset = 0; offset < MmioRegister.Config; offset += 4) {
      const name = `0x${offset.toString(16)} ${when}`;
      assert.equal(words[offset >> 2]! >>> 0, driver.get(offset), name);
    }
    for (let at = 0; at < device.config.length; at++) {
      const register = MmioRegister.Config + at;
      assert.equal(page[register], driver.get(register, 1), when);
    }
  };
  same("at first");
  assert.equal(words[MmioRegister.DeviceFeatures >> 2], 0x21);
  assert.equal(words[MmioRegister.QueueNumMax >> 2], 8);
  driver.start();
  same("at work");
  driver.set(MmioRegister.QueueSel, 1);
  assert.equal(words[MmioRegister.QueueNumMax >> 2], 256);
  assert.equal(words[MmioRegister.QueueReady >> 2], 1);
  device.context.configChanged((config) => config[0] = 9);
  device.context.needsReset("for the test");
  same("in need of a reset");
  driver.set(MmioRegister.Status, 0);
  same("after it");
  assert.equal(words[MmioRegister.QueueReady >> 2], 0);
});
