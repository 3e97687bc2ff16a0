/** Registers that two vCPUs use at once. */
import assert from "node:assert/strict";
import { DeviceState, Word } from "./device_state.ts";
import { DriverRegisters } from "./driver_registers.ts";
import { Status } from "./spec.ts";
import { behindLoads } from "./testing_race.ts";

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
  state.describe(2, [0b100, 0], [64], new Uint8Array());
  const { words } = state;
  const [one, other] = [registers(state), registers(state)];
  one.writeStatus(Status.ACKNOWLEDGE | Status.DRIVER);
  words[Word.DRIVER_FEATURES_SEL] = 1;
  one.writeDriverFeatures(VERSION_1);
  words[Word.DRIVER_FEATURES_SEL] = 0;
  const all = Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK;
  {
    using _race = behindLoads(() => other.writeStatus(all));
    one.writeDriverFeatures(0xffff_ffff); // more than was offered
  }
  const accepted = words[Word.DRIVER_FEATURES]! >>> 0;
  if (state.status & Status.FEATURES_OK) assert.equal(accepted & ~0b100, 0);
  other.writeStatus(all);
  assert.equal(state.status & Status.FEATURES_OK, 0, "refused");
});
