/** Instructions that the VMM carries out itself. */
import assert from "node:assert/strict";
import type { Vcpu } from "../ffi/vcpu.ts";
import { findStep, stepPast } from "./step_past.ts";

const AC = 1n << 18n;

/** A vCPU that stopped in front of `bytes`, and what was done to it. */
function stoppedAt(bytes: number[], rflags: bigint) {
  const done: unknown[] = [];
  const vcpu = {
    run: { instructionBytes: Uint8Array.from(bytes) },
    getRegs: () => ({ rip: 0x1000n, rflags, rax: 7n }),
    setRegs: (registers: unknown) => done.push(registers),
    injectException: (vector: number) => done.push(vector),
  };
  return { vcpu: vcpu as unknown as Vcpu, done };
}

Deno.test("findStep: knows its instructions by all of their bytes", () => {
  const name = (...bytes: number[]) => findStep(Uint8Array.from(bytes))?.name;
  assert.equal(name(0xcc), "INT3");
  assert.equal(name(0x9b, 0xdd, 0x38), "FWAIT");
  assert.equal(name(0x0f, 0x01, 0xca, 0xc3), "CLAC");
  assert.equal(name(0x0f, 0x01, 0xcb), "STAC");
  assert.equal(name(), undefined);
  assert.equal(name(0x0f, 0x01), undefined, "cut off");
  assert.equal(name(0x0f, 0x01, 0xd0), undefined, "XGETBV");
  assert.equal(name(0x90, 0xcc), undefined, "INT3 comes later");
});

Deno.test("stepPast: INT3 goes on behind it with #BP, a trap", () => {
  const { vcpu, done } = stoppedAt([0xcc, 0x90], 2n);
  assert.equal(stepPast(vcpu), "INT3");
  assert.deepEqual(done, [{ rip: 0x1001n, rflags: 2n, rax: 7n }, 3]);
});

Deno.test("stepPast: FWAIT is passed over", () => {
  const { vcpu, done } = stoppedAt([0x9b], 2n | AC);
  assert.equal(stepPast(vcpu), "FWAIT");
  assert.deepEqual(done, [{ rip: 0x1001n, rflags: 2n | AC, rax: 7n }]);
});

Deno.test("stepPast: CLAC and STAC change RFLAGS.AC and nothing else", () => {
  for (const rflags of [2n, 2n | AC, 0x246n]) {
    const clac = stoppedAt([0x0f, 0x01, 0xca], rflags);
    assert.equal(stepPast(clac.vcpu), "CLAC");
    const cleared = { rip: 0x1003n, rflags: rflags & ~AC, rax: 7n };
    assert.deepEqual(clac.done, [cleared]);
    const stac = stoppedAt([0x0f, 0x01, 0xcb], rflags);
    assert.equal(stepPast(stac.vcpu), "STAC");
    const set = { rip: 0x1003n, rflags: rflags | AC, rax: 7n };
    assert.deepEqual(stac.done, [set]);
  }
});

Deno.test("stepPast: an unknown instruction is left alone", () => {
  for (const bytes of [[], [0x0f, 0xc7, 0x0f], [0xf3, 0x0f, 0xb8, 0xc0]]) {
    const { vcpu, done } = stoppedAt(bytes, 2n);
    assert.equal(stepPast(vcpu), undefined);
    assert.deepEqual(done, []);
  }
});
