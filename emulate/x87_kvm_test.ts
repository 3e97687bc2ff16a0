/**
 * x87 at CPL0 and at CPL3. Both run on the CPU, so this is about state, not
 * about arithmetic: registers, tags, TOP, control and status of one
 * instruction reach the next as they are.
 */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { Random } from "../guest/testing/random.ts";
import { LongModeMachine, type Run } from "./testing/long_mode_machine.ts";

function test(name: string, body: (machine: LongModeMachine) => void): void {
  const fn = () => {
    using machine = new LongModeMachine();
    body(machine);
  };
  Deno.test(needing([KVM], { name, fn }));
}

/** Instructions with memory operands: opcode and ModRM.reg. */
const MEMORY: Record<string, readonly (readonly [number, number])[]> = {
  "FADD to FDIVR, FCOM": [0xd8, 0xdc, 0xda, 0xde].flatMap((opcode) =>
    [0, 1, 2, 3, 4, 5, 6, 7].map((reg) => [opcode, reg] as const)
  ),
  "FLD, FST, FSTP": [
    ...[[0xd9, 0], [0xdd, 0], [0xdb, 5], [0xd9, 2], [0xdd, 2]] as const,
    ...[[0xd9, 3], [0xdd, 3], [0xdb, 7], [0xdf, 4], [0xdf, 6]] as const,
  ],
  "FILD, FIST, FISTP, FISTTP": [
    ...[[0xdf, 0], [0xdb, 0], [0xdf, 5], [0xdf, 2], [0xdb, 2]] as const,
    ...[[0xdf, 3], [0xdb, 3], [0xdf, 7], [0xdf, 1], [0xdb, 1]] as const,
    [0xdd, 1] as const,
  ],
  "FLDCW, FNSTCW, FNSTSW": [[0xd9, 5], [0xd9, 7], [0xdd, 7]],
};

/** And with registers. */
const REGISTERS: Record<string, readonly (readonly [number, number])[]> = {
  "FADD to FDIVRP": [0xd8, 0xdc, 0xde].flatMap((opcode) =>
    [0xc1, 0xc9, 0xe1, 0xe9, 0xf1, 0xf9].map((rm) => [opcode, rm] as const)
  ),
  "FCOM, FUCOM, FCOMI, FTST, FXAM": [
    ...[[0xd8, 0xd1], [0xd8, 0xd9], [0xde, 0xd9], [0xdd, 0xe1]] as const,
    ...[[0xdd, 0xe9], [0xda, 0xe9], [0xdb, 0xf1], [0xdb, 0xe9]] as const,
    ...[[0xdf, 0xf1], [0xdf, 0xe9], [0xd9, 0xe4], [0xd9, 0xe5]] as const,
  ],
  "FXCH, FLD, FSTP, FCMOV, FFREE, TOP": [
    ...[[0xd9, 0xc9], [0xd9, 0xc1], [0xdd, 0xd9], [0xda, 0xc1]] as const,
    ...[[0xdb, 0xc9], [0xdd, 0xc1], [0xd9, 0xf7], [0xd9, 0xf6]] as const,
  ],
  "constants": [0xe8, 0xe9, 0xea, 0xeb, 0xec, 0xed, 0xee].map(
    (rm) => [0xd9, rm] as const,
  ),
  "FCHS, FABS, FSQRT, FRNDINT, FSCALE, FPREM, FXTRACT": [
    ...[0xe0, 0xe1, 0xfa, 0xfc, 0xfd, 0xf8, 0xf5, 0xf4],
    // FSIN, FCOS, FPTAN, FPATAN, F2XM1, FYL2X
    ...[0xfe, 0xff, 0xf2, 0xf3, 0xf0, 0xf1],
  ].map((rm) => [0xd9, rm] as const),
  "FNCLEX, FNINIT, FNSTSW AX": [[0xdb, 0xe2], [0xdb, 0xe3], [0xdf, 0xe0]],
};

/** One calculation's place in memory. */
const Slot = { CONTROL: 0, FIRST: 16, SECOND: 32, STATE: 48, FLAGS: 156 };
const SLOT = 160;
const SLOTS = 24;
/** FNSAVE: instruction and data pointers, whose selectors differ with CPL. */
const POINTERS = { start: Slot.STATE + 12, end: Slot.STATE + 28 };

const disp32 = (value: number) => [value & 0xff, value >> 8, 0, 0];
/** ModRM: reg, [rbx + disp32]. */
const at = (
  reg: number,
  offset: number,
) => [reg << 3 | 0x83, ...disp32(offset)];

/** Loads both numbers, runs `operation`, saves FPU and flags: per slot. */
function program(operation: (slot: number) => readonly number[]): number[] {
  return Array.from({ length: SLOTS }, (_, i) => i * SLOT).flatMap((slot) => [
    ...[0xd9, ...at(5, slot + Slot.CONTROL)], // fldcw
    ...[0xdb, ...at(5, slot + Slot.FIRST)], // fld tbyte
    ...[0xdb, ...at(5, slot + Slot.SECOND)],
    ...operation(slot),
    ...[0xdd, ...at(6, slot + Slot.STATE)], // fnsave
    ...[0x9f, 0x88, ...at(4, slot + Slot.FLAGS)], // lahf; mov [], ah
  ]);
}

/** Control words with all exceptions masked, and numbers of all classes. */
function operands(random: Random): Uint8Array {
  const data = new Uint8Array(4096);
  const view = new DataView(data.buffer);
  for (let slot = 0; slot < SLOTS * SLOT; slot += SLOT) {
    view.setUint16(slot + Slot.CONTROL, 0x3f | random.below(16) << 8, true);
    for (const number of [Slot.FIRST, Slot.SECOND]) {
      data.set(random.bytes(8), slot + number);
      if (random.oneIn(4)) view.setBigUint64(slot + number, 0n, true);
      // The integer bit is only clear in zeros, denormals and invalid numbers.
      if (!random.oneIn(6)) data[slot + number + 7]! |= 0x80;
      const exponents = [0, 0x7fff, 0x3fff + random.below(80) - 8];
      const exponent = random.oneIn(4)
        ? random.of(exponents)
        : 0x3fff + random.below(70) - 5;
      view.setUint16(
        slot + number + 8,
        exponent | random.below(2) << 15,
        true,
      );
    }
  }
  return data;
}

function assertSame(machine: LongModeMachine, run: Omit<Run, "cpl">): void {
  const [native, kernel] = ([3, 0] as const).map((cpl) => {
    const { data, fault } = machine.run({ ...run, cpl });
    assert.equal(fault, undefined);
    for (let slot = 0; slot < SLOTS * SLOT; slot += SLOT) {
      data.fill(0, slot + POINTERS.start, slot + POINTERS.end);
    }
    return data;
  });
  assert.deepEqual(kernel, native);
}

for (const [name, codes] of Object.entries(MEMORY)) {
  test(`x87 in the kernel, memory operands: ${name}`, (machine) => {
    const random = new Random(87);
    for (const [opcode, reg] of codes) {
      const code = program((slot) => [opcode, ...at(reg, slot + Slot.SECOND)]);
      // An unmasked exception would be the next instruction's: no FLDCW of it.
      const data = operands(random);
      if (opcode === 0xd9 && reg === 5) {
        for (let slot = 0; slot < SLOTS * SLOT; slot += SLOT) {
          data[slot + Slot.SECOND]! |= 0x3f;
        }
      }
      assertSame(machine, { code, data });
    }
  });
}

for (const [name, codes] of Object.entries(REGISTERS)) {
  test(`x87 in the kernel, registers: ${name}`, (machine) => {
    const random = new Random(1987);
    for (const operation of codes) {
      const code = program(() => operation);
      assertSame(machine, { code, data: operands(random) });
    }
  });
}

const CR0_MP = 1n << 1n;
const CR0_EM = 1n << 2n;
const CR0_TS = 1n << 3n;
const FLDZ = [0xd9, 0xee];
const FWAIT = [0x9b];

test("x87 in the kernel: TS and EM in CR0 are #NM", (machine) => {
  const vector = (code: number[], set: bigint, clear = 0n) => {
    const prepare: Run["prepare"] = (sregs) =>
      sregs.setControl("cr0", sregs.control("cr0") & ~clear | set);
    return machine.run({ code, cpl: 0, prepare }).fault?.vector;
  };
  assert.equal(vector(FLDZ, CR0_TS), 7);
  assert.equal(vector(FLDZ, CR0_EM), 7);
  assert.equal(vector(FLDZ, 0n), undefined);
  assert.equal(vector(FWAIT, CR0_TS), 7);
  assert.equal(vector(FWAIT, CR0_TS, CR0_MP), undefined);
});

test("x87 in the kernel: an unmasked exception is the next one's #MF", (machine) => {
  // fninit; fldcw [rbx]; fld1; fldz; fdivp
  const divide = [
    ...[0xdb, 0xe3, 0xd9, 0x2b, 0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9],
  ];
  const data = Uint8Array.of(0x3b, 0x03);
  for (const next of [FLDZ, FWAIT]) {
    for (const cpl of [3, 0] as const) {
      const { fault, registers } = machine.run({
        code: [...divide, ...next],
        cpl,
        data,
      });
      assert.equal(fault?.vector, 16);
      assert.equal(registers.rip, 0x20_0000n + BigInt(divide.length));
    }
  }
});
