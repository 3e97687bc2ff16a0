import assert from "node:assert/strict";
import { BootTimer } from "./boot_timer.ts";
import { ResetControl, SleepRegisters } from "./power.ts";

class Machine {
  resets = 0;
  powerOffs = 0;
  boots = 0;

  reset(): void {
    this.resets++;
  }

  powerOff(): void {
    this.powerOffs++;
  }

  booted(): void {
    this.boots++;
  }
}

Deno.test("SleepRegisters: SLP_EN with type 5 powers off, nothing else does", () => {
  const machine = new Machine();
  const sleep = new SleepRegisters(machine);
  const SLP_EN = 0x20;
  for (let type = 0; type < 8; type++) sleep.write(0, 1, type << 2);
  for (const type of [0, 1, 2, 3, 4, 6, 7]) {
    sleep.write(0, 1, SLP_EN | type << 2);
  }
  sleep.write(1, 1, SLP_EN | 5 << 2);
  assert.equal(machine.powerOffs, 0);
  sleep.write(0, 1, SLP_EN | 5 << 2);
  assert.equal(machine.powerOffs, 1);
});

Deno.test("SleepRegisters: never woken", () => {
  const sleep = new SleepRegisters(new Machine());
  const WAK_STS = 0x80;
  sleep.write(1, 1, WAK_STS);
  assert.equal(sleep.read(1, 1), 0);
});

Deno.test("ResetControl: Linux's two writes to 0xCF9 reset once", () => {
  const machine = new Machine();
  const control = new ResetControl(machine);
  control.write(0, 1, control.read(0, 1) | 0x02);
  assert.equal(machine.resets, 0);
  control.write(0, 1, 0x06);
  assert.equal(machine.resets, 1);
});

Deno.test("BootTimer: the first 123 counts, on whichever vCPU", () => {
  const machine = new Machine();
  const shared = BootTimer.createState();
  const timers = [0, 1].map(() => new BootTimer(shared, machine));
  timers[0]!.write(0, 1, 122);
  timers[0]!.write(4, 1, 123);
  assert.equal(machine.boots, 0);
  timers[1]!.write(0, 4, 123);
  timers[0]!.write(0, 1, 123);
  assert.equal(machine.boots, 1);
  assert.equal(timers[0]!.read(0, 4), 0);
});
