/** Registers that two vCPUs use at once. */
import assert from "node:assert/strict";
import { DeviceState, DeviceWord, QueueWord } from "./device_state.ts";
import { DriverRegisters } from "./driver_registers.ts";
import { Feature, Status } from "../spec.ts";
import { MockDriver } from "../testing/mod.ts";
import { RecordingDevice } from "../testing/device.ts";
import { behindLoads, behindNotifies } from "../testing/race.ts";

const VERSION_1 = 1; // in the second word

function registers(state: DeviceState): DriverRegisters {
  return new DriverRegisters(state, {
    requestReady() {},
    notify() {},
    stopping: () => true, // who finds the lock taken gives up
  });
}

Deno.test("DriverRegisters: features that nobody has checked don't come in beside FEATURES_OK (§2.2)", () => {
  const state = new DeviceState();
  state.offer(2, [0b100, 0], [64], new Uint8Array());
  state.show();
  const { words } = state;
  const [one, other] = [registers(state), registers(state)];
  one.writeStatus(Status.ACKNOWLEDGE | Status.DRIVER);
  words[DeviceWord.DRIVER_FEATURES_SEL] = 1;
  one.writeDriverFeatures(VERSION_1);
  words[DeviceWord.DRIVER_FEATURES_SEL] = 0;
  const all = Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK;
  {
    using _race = behindLoads(() => other.writeStatus(all));
    one.writeDriverFeatures(0xffff_ffff); // more than was offered
  }
  const accepted = words[DeviceWord.DRIVER_FEATURES]! >>> 0;
  if (state.status & Status.FEATURES_OK) assert.equal(accepted & ~0b100, 0);
  other.writeStatus(all);
  assert.equal(state.status & Status.FEATURES_OK, 0, "refused");
});

Deno.test("DriverRegisters: no queue is switched on while another vCPU sets the status", () => {
  const state = new DeviceState();
  state.offer(2, [0, 0], [64], new Uint8Array());
  state.show();
  state.words[DeviceWord.LOCK] = 1;
  registers(state).writeQueueReady(1);
  assert.equal(state.queue(0, QueueWord.READY), 0);
  state.words[DeviceWord.LOCK] = 0;
  registers(state).writeQueueReady(1);
  assert.equal(state.queue(0, QueueWord.READY), 1);
});

Deno.test("DriverRegisters: a queue's reset ends before another vCPU sets it up (§2.6.1.2)", () => {
  const device = new RecordingDevice();
  using driver = new MockDriver(device);
  driver.start({ features: [Feature.RING_RESET] });
  const one = new DriverRegisters(driver.state, {
    requestReady: () => driver.activated.serve(),
    notify() {},
    stopping: () => false,
  });
  driver.state.words[DeviceWord.QUEUE_SEL] = 0;
  let setUp = 0;
  {
    using _race = behindNotifies(() => {
      const { words } = driver.state;
      if (words[DeviceWord.LOCK] === 0 && setUp++ === 0) {
        driver.setUpQueue(0, 8);
      }
    });
    one.writeQueueReset();
  }
  assert.ok(device.calls.includes("reset 0"));
  assert.ok(setUp > 0);
  assert.equal(device.context.queues[0]!.live, true);
  assert.equal(driver.state.queue(0, QueueWord.READY), 1);
});
