/** The guest that asks questions, and its time limit. */
import assert from "node:assert/strict";
import { Kvm } from "../ffi/kvm/kvm.ts";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { descriptorsAgain, descriptorsAtRest } from "../vmm/testing/mod.ts";
import {
  SYSCALL_ARRIVED,
  SYSCALL_ENTRY,
  TINY_MMIO,
  TinyGuest,
} from "./tiny_guest.ts";

const LONG = 600_000;
const HLT = 0xf4;

/** One test with a fresh guest. */
function test(name: string, body: (guest: TinyGuest) => void): void {
  Deno.test(needing([KVM], {
    name: `TinyGuest: ${name}`,
    fn() {
      using kvm = new Kvm();
      using guest = new TinyGuest(kvm);
      body(guest);
    },
  }));
}

test("HLT ends it, at CPL0", (guest) => {
  assert.deepEqual(guest.runKernel([HLT], LONG), { kind: "halt" });
});

test("HLT at CPL3 is #GP: it does run at CPL3", (guest) => {
  const end = guest.runUser([HLT], LONG);
  assert.equal(end.kind === "vector" && end.vector, 13);
});

test("an exception is reported with its vector, and CR2", (guest) => {
  // mov eax, [0x100000]: not mapped
  const end = guest.runKernel([0x8b, 0x04, 0x25, 0, 0, 0x10, 0], LONG);
  assert.deepEqual(end, { kind: "vector", vector: 14, cr2: 0x10_0000 });
});

test("registers go in and come out", (guest) => {
  // lea rax, [rcx + rdx]; hlt
  const code = [0x48, 0x8d, 0x04, 0x11, HLT];
  guest.runKernel(code, LONG, { rcx: 40n, rdx: 2n });
  assert.equal(guest.registers.rax, 42n);
});

test("a port's and MMIO's accesses are counted", (guest) => {
  const [, , third = 0] = new Uint8Array(
    Uint32Array.of(TINY_MMIO.virtual).buffer,
  );
  const mmio = [0x8b, 0x04, 0x25, 0, 0, third, 0]; // mov eax, [TINY_MMIO]
  const code = [0xe4, 0xf2, ...mmio, 0xe6, 0xf3, HLT]; // in, mov, out
  assert.deepEqual(guest.runKernel(code, LONG), { kind: "halt" });
  assert.equal(guest.exits, 3);
});

test("SYSCALL goes to its entry, whatever the privilege there", (guest) => {
  const end = guest.runUser([0x0f, 0x05], LONG);
  assert.equal(end.kind, "vector");
  if (end.kind !== "vector") return;
  if (end.vector !== SYSCALL_ARRIVED) {
    assert.deepEqual([end.vector, end.cr2], [14, SYSCALL_ENTRY]);
  }
});

test("what KVM refuses is carried out, and the guest goes on", (guest) => {
  // popcnt rax, rax; inc rax; hlt
  const code = [0xf3, 0x48, 0x0f, 0xb8, 0xc0, 0x48, 0xff, 0xc0, HLT];
  let end = guest.runKernel(code, LONG, { rax: 0b1011n });
  if (end.kind === "refused") end = guest.carryOut(LONG);
  assert.deepEqual(end, { kind: "halt" });
  assert.equal(guest.registers.rax, 4n);
});

test("what Vireo can't carry out either stays refused", (guest) => {
  // invpcid rax, [rdi]: privileged, so the CPU can't do it at CPL3
  const end = guest.runKernel([0x66, 0x0f, 0x38, 0x82, 0x07, HLT], LONG);
  if (end.kind !== "refused") return; // a CPU does it
  assert.deepEqual(guest.carryOut(LONG), { kind: "refused" });
});

for (const run of ["runKernel", "runUser"] as const) {
  test(`${run}: a loop without end ends in time, more than once`, (guest) => {
    for (let i = 0; i < 3; i++) {
      const start = performance.now();
      assert.deepEqual(guest[run]([0xeb, 0xfe], 20), { kind: "timeout" });
      assert.ok(performance.now() - start >= 15);
    }
    // No kick is left over for the next.
    assert.equal(guest.runKernel([HLT], LONG).kind, "halt");
  });
}

test("a loop of exits ends in time, too", (guest) => {
  // in al, 0xf2; jmp
  for (let i = 0; i < 100 && guest.exits === 0; i++) { // it may have been late
    const end = guest.runKernel([0xe4, 0xf2, 0xeb, 0xfc], 50);
    assert.deepEqual(end, { kind: "timeout" });
  }
  assert.ok(guest.exits > 0);
});

Deno.test(needing([KVM], {
  name: "TinyGuest: nothing of it is left",
  async fn() {
    using kvm = new Kvm();
    const once = () => {
      using guest = new TinyGuest(kvm);
      const end = guest.runKernel([0xf3, 0x48, 0x0f, 0xb8, 0xc0, HLT], LONG);
      if (end.kind === "refused") guest.carryOut(LONG);
    };
    once();
    const before = await descriptorsAtRest();
    for (let i = 0; i < 20; i++) once();
    await descriptorsAgain(before);
  },
}));
