/** What is said about instructions that can't be stepped past. */
import assert from "node:assert/strict";
import { SpecialRegisters } from "../ffi/kvm/registers.ts";
import type { Vcpu } from "../ffi/kvm/vcpu.ts";
import { GuestMemory } from "../guest/memory.ts";
import { StepPast } from "./instruction_emulation.ts";

const EFER_LMA = 1n << 10n;

/** A vCPU that stopped in front of `bytes`, and what was done to it. */
function stoppedAt(bytes: number[], { long = true } = {}) {
  const sregs = new SpecialRegisters();
  sregs.setControl("efer", long ? EFER_LMA : 0n);
  sregs.setSegment("cs", { ...sregs.segment("cs"), l: long ? 1 : 0 });
  const done: unknown[] = [];
  const vcpu = {
    run: { instructionBytes: Uint8Array.from(bytes) },
    getRegs: () => ({ rip: 0x1000n, rflags: 2n, rax: 7n }),
    getSregs: () => sregs,
    setRegs: (registers: unknown) => done.push(registers),
    injectException: (vector: number) => done.push(vector),
  } as unknown as Vcpu;
  const memory = () => GuestMemory.attach([]);
  const stepPast = new StepPast(vcpu, memory);
  return { stepPast, done };
}

Deno.test("StepPast: what is unknown is left alone, and named with its bytes", () => {
  const { stepPast, done } = stoppedAt([0x0f, 0x38, 0x82, 0x06], {
    long: false,
  });
  assert.equal(
    stepPast.step(),
    "KVM can't emulate the instruction 0f 38 82 06 at RIP 0x1000",
  );
  assert.deepEqual(done, []);
  assert.deepEqual(stepPast.counts, {});
});

Deno.test("StepPast: counts what it carries out by name", () => {
  const { stepPast, done } = stoppedAt([0x9b, 0xcc]);
  assert.equal(stepPast.step(), undefined);
  assert.equal(stepPast.step(), undefined);
  assert.deepEqual(stepPast.counts, { FWAIT: 2 });
  assert.equal((done[0] as { rip: bigint }).rip, 0x1001n);
});

Deno.test("StepPast: outside of 64-bit mode only what needs no operands", () => {
  const int3 = stoppedAt([0xcc, 0x90], { long: false });
  assert.equal(int3.stepPast.step(), undefined);
  assert.deepEqual(int3.done.at(-1), 3, "#BP");
  const popcnt = stoppedAt([0xf3, 0x0f, 0xb8, 0xc1], { long: false });
  assert.match(popcnt.stepPast.step() ?? "", /f3 0f b8 c1/);
});
