/** The words that steer the workers. */
import assert from "node:assert/strict";
import { Command, Control, MAX_VCPUS } from "./control.ts";

Deno.test("Control: everyone runs at first; views share their words", () => {
  const main = new Control();
  const worker = new Control(main.shared);
  assert.equal(worker.vcpuCommand, Command.RUN);
  assert.equal(worker.deviceCommand, Command.RUN);
  main.vcpuCommand = Command.PAUSE;
  assert.equal(worker.vcpuCommand, Command.PAUSE);
  assert.equal(worker.deviceCommand, Command.RUN, "two commands");
  main.deviceCommand = Command.STOP;
  assert.equal(worker.deviceCommand, Command.STOP);
  assert.equal(worker.stopping, false, "the vCPUs' command counts");
  main.vcpuCommand = Command.STOP;
  assert.equal(worker.stopping, true);
});

Deno.test("Control: nobody waits unless the command is PAUSE", () => {
  const control = new Control();
  for (const command of [Command.RUN, Command.STOP]) {
    control.vcpuCommand = command;
    control.waitWhileVcpusPaused(assert.fail, 0);
    control.deviceCommand = command;
    assert.equal(control.devicePause, 0);
  }
});

Deno.test("Control: each thread's view counts announced messages", () => {
  const control = new Control();
  const worker = new Control(control.shared);
  assert.equal(worker.messages, 0);
  control.announceMessage();
  assert.equal(worker.messages, 1);
  control.announceMessage();
  assert.equal(worker.messages, 2);
  assert.equal(control.messages, 2);
});

Deno.test("Control: who is slow to wait for the end of a pause reports the next one", () => {
  const control = new Control();
  let pauses = 0;
  control.vcpuCommand = Command.PAUSE;
  control.waitWhileVcpusPaused(() => {
    pauses++;
    // All of this happens between the report and the wait.
    control.vcpuCommand = Command.RUN;
    control.vcpuCommand = pauses < 3 ? Command.PAUSE : Command.STOP;
  }, 0);
  assert.equal(pauses, 3);
});

Deno.test("Control: each pause of the devices is another", () => {
  const control = new Control();
  const pauses = new Set<number>();
  for (let i = 0; i < 3; i++) {
    control.deviceCommand = Command.PAUSE;
    pauses.add(control.devicePause);
    control.deviceCommand = Command.RUN;
    pauses.add(control.devicePause);
  }
  assert.equal(pauses.size, 4, "three, and no pause");
});

Deno.test("Control: each vCPU has words of its own", () => {
  const control = new Control();
  for (let id = 0; id < MAX_VCPUS; id++) control.setThreadOf(id, 1000 + id);
  control.setHaltedForEver(3, true);
  for (let id = 0; id < MAX_VCPUS; id++) {
    assert.equal(control.threadOf(id), 1000 + id);
    assert.equal(control.haltedForEver(id), id === 3);
  }
  control.setHaltedForEver(3, false);
  assert.equal(control.haltedForEver(3), false);
  assert.equal(control.vcpuCommand, Command.RUN);
  assert.equal(control.deviceCommand, Command.RUN);
});

Deno.test("Control: a vCPU is idle when it has not exited since the last look", () => {
  const control = new Control();
  control.countExit(1);
  assert.equal(control.idleSinceLastLook(1), false);
  assert.equal(control.idleSinceLastLook(1), true);
  control.countExit(0);
  assert.equal(control.idleSinceLastLook(1), true, "another's exit");
  control.countExit(1);
  control.countExit(1);
  assert.equal(control.idleSinceLastLook(1), false);
});

Deno.test("Control: the count of exits may wrap", () => {
  const control = new Control();
  const words = new Int32Array(control.shared);
  words.fill(0x7fff_ffff, 16); // all vCPUs' words
  control.idleSinceLastLook(0);
  control.countExit(0);
  assert.equal(control.idleSinceLastLook(0), false);
});

Deno.test("Control: a held vCPU waits though all may run, and reports pauses", () => {
  const control = new Control();
  control.setHeld(1, true);
  control.waitWhileVcpusPaused(assert.fail, 0);
  let pauses = 0;
  control.vcpuCommand = Command.PAUSE;
  control.waitWhileVcpusPaused(() => {
    pauses++;
    control.setHeld(1, false);
    control.vcpuCommand = Command.RUN;
  }, 1);
  assert.equal(pauses, 1);
  control.setHeld(MAX_VCPUS - 1, true);
  control.vcpuCommand = Command.STOP;
  control.waitWhileVcpusPaused(assert.fail, MAX_VCPUS - 1);
});
