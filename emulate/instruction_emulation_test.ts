/** What is carried out, and what is left alone. */
import assert from "node:assert/strict";
import { SpecialRegisters } from "../ffi/kvm/registers.ts";
import type { Vcpu } from "../ffi/kvm/vcpu.ts";
import { GuestMemory } from "../guest/memory.ts";
import { InstructionEmulation } from "./instruction_emulation.ts";

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
  return { emulation: new InstructionEmulation(vcpu, memory), done };
}

Deno.test("InstructionEmulation: what is unknown is left alone", () => {
  const { emulation, done } = stoppedAt([0x0f, 0x38, 0x82, 0x06], {
    long: false,
  });
  assert.equal(emulation.carryOut(), false);
  assert.deepEqual(done, []);
  assert.deepEqual(emulation.counts, {});
});

Deno.test("InstructionEmulation: counts what it carries out by name", () => {
  const { emulation, done } = stoppedAt([0x9b, 0xcc]);
  assert.equal(emulation.carryOut(), true);
  assert.equal(emulation.carryOut(), true);
  assert.deepEqual(emulation.counts, { FWAIT: 2 });
  assert.equal((done[0] as { rip: bigint }).rip, 0x1001n);
});

Deno.test("InstructionEmulation: outside of 64-bit mode only what needs no operands", () => {
  const int3 = stoppedAt([0xcc, 0x90], { long: false });
  assert.equal(int3.emulation.carryOut(), true);
  assert.deepEqual(int3.done.at(-1), 3, "#BP");
  const popcnt = stoppedAt([0xf3, 0x0f, 0xb8, 0xc1], { long: false });
  assert.equal(popcnt.emulation.carryOut(), false);
});
