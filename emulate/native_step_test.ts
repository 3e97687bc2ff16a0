/** Instructions of CPL0 that only the CPU itself can carry out. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import {
  DATA,
  LongModeMachine,
  READ_ONLY_DATA,
  UNMAPPED,
} from "./testing/long_mode_machine.ts";

function test(name: string, body: (machine: LongModeMachine) => void): void {
  const fn = () => {
    using machine = new LongModeMachine();
    body(machine);
  };
  Deno.test(needing([KVM], { name, fn }));
}

test("x87: a state over several instructions", (machine) => {
  const data = new Uint8Array(64);
  const view = new DataView(data.buffer);
  view.setFloat64(0, 1.5, true);
  view.setFloat32(8, 0.1, true);
  // fld qword [rbx]; fld dword [rbx+8]; faddp; fld1; fsubp; fstp tbyte [rbx+32]
  const code = [
    ...[0xdd, 0x03, 0xd9, 0x43, 0x08, 0xde, 0xc1, 0xd9, 0xe8, 0xde, 0xe9],
    ...[0xdb, 0x7b, 0x20],
  ];
  const native = machine.run({ code, cpl: 3, data });
  const kernel = machine.run({ code, cpl: 0, data });
  assert.deepEqual(kernel.data, native.data);
  assert.notEqual(kernel.data[32 + 9], 0, "an exponent");
});

test("SSE: arithmetic, registers and memory; flags of a comparison", (machine) => {
  const data = new Uint8Array(64);
  const view = new DataView(data.buffer);
  view.setFloat64(0, 2.25, true);
  view.setFloat64(16, 4, true);
  // movsd xmm1,[rbx]; mulsd xmm1,[rbx+16]; ucomisd xmm1,[rbx]; movsd [rbx+40],xmm1
  const code = [
    ...[0xf2, 0x0f, 0x10, 0x0b, 0xf2, 0x0f, 0x59, 0x4b, 0x10],
    ...[0x66, 0x0f, 0x2e, 0x0b, 0xf2, 0x0f, 0x11, 0x4b, 0x28],
  ];
  const registers = { rflags: 0x8d7n };
  const native = machine.run({ code, cpl: 3, data, registers });
  const kernel = machine.run({ code, cpl: 0, data, registers });
  assert.deepEqual(kernel, native);
  assert.equal(new DataView(kernel.data.buffer).getFloat64(40, true), 9);
});

test("an operand that the guest may not write, or that isn't there, faults", (machine) => {
  const code = [0xdd, 0x1b]; // fstp qword [rbx]
  const at = (rbx: number) =>
    machine.run({ code, cpl: 0, registers: { rbx: BigInt(rbx) } });
  assert.equal(at(DATA).fault, undefined);
  assert.deepEqual(at(READ_ONLY_DATA).fault, {
    vector: 14,
    errorCode: 3,
    cr2: BigInt(READ_ONLY_DATA),
  });
  assert.equal(at(UNMAPPED).fault?.errorCode, 2);
  assert.equal(at(UNMAPPED - 4).fault?.cr2, BigInt(UNMAPPED), "two pages");
  assert.equal(at(DATA).fault, undefined, "and it goes on");
});
