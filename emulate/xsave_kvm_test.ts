/** XSAVE and its kin at CPL0, against areas that are laid out by hand. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { DATA, LongModeMachine } from "./testing/long_mode_machine.ts";
import { pieces } from "./xsave.ts";

// mov eax, 7; xor edx, edx; xor ecx, ecx; xsetbv
const ENABLE_AVX = [0xb8, 7, 0, 0, 0, 0x31, 0xd2, 0x31, 0xc9, 0x0f, 0x01, 0xd1];
const XSAVE = [0x0f, 0xae, 0x23];
const XSAVEC = [0x0f, 0xc7, 0x23];
const XSAVES = [0x0f, 0xc7, 0x2b];
const XRSTOR = [0x0f, 0xae, 0x2b];
const XRSTORS = [0x0f, 0xc7, 0x1b];
const requestOf = (bits: number) => [0xb8, bits, 0, 0, 0]; // mov eax, bits

const MXCSR = 24;
const XMM0 = 160;
const HEADER = 512;
const AVX_AREA = 576; // the first component, in either format

/** XMM0 and the upper half of YMM0 are 0x5a and 0xa5; MXCSR rounds down. */
function state(machine: LongModeMachine, inUse: number): Uint8Array {
  const area = machine.vcpu.getXsave();
  area.fill(0, 0, 24);
  area.set([0x7f, 0x03]); // FCW
  area.set([0x80, 0x3f, 0, 0], MXCSR);
  area.fill(0x5a, XMM0, XMM0 + 16);
  area.fill(0xa5, AVX_AREA, AVX_AREA + 16);
  area.set([inUse, 0], HEADER);
  return area;
}

function test(name: string, body: (machine: LongModeMachine) => void): void {
  const fn = () => {
    using machine = new LongModeMachine();
    machine.run({ code: ENABLE_AVX, cpl: 0 });
    assert.equal(machine.vcpu.getXcr0(), 7n);
    body(machine);
  };
  Deno.test(needing([KVM], { name, fn }));
}

test("XSAVE: what is requested, and nothing else", (machine) => {
  machine.vcpu.setXsave(state(machine, 7) as Uint8Array<ArrayBuffer>);
  const before = new Uint8Array(1024).fill(0xee);
  before.fill(0, HEADER, HEADER + 64);
  before[HEADER] = 2; // stays: SSE is not requested
  const { data, fault } = machine.run({
    code: [...requestOf(4), ...XSAVE],
    cpl: 0,
    data: before,
  });
  assert.equal(fault, undefined);
  assert.equal(data[0], 0xee, "x87");
  assert.deepEqual([...data.slice(MXCSR, MXCSR + 4)], [0x80, 0x3f, 0, 0]);
  assert.equal(data[XMM0], 0xee, "SSE");
  assert.equal(data[HEADER], 2 | 4);
  assert.equal(data[AVX_AREA], 0xa5);
  assert.equal(data[AVX_AREA + 16], 0);
});

for (const [name, code] of [["XSAVEC", XSAVEC], ["XSAVES", XSAVES]] as const) {
  test(`${name}: compacted, without what is not in use`, (machine) => {
    machine.vcpu.setXsave(state(machine, 2) as Uint8Array<ArrayBuffer>);
    const { data, fault } = machine.run({
      code: [...requestOf(7), ...code],
      cpl: 0,
      data: new Uint8Array(1024).fill(0xee, 0, HEADER),
    });
    assert.equal(fault, undefined);
    assert.equal(data[HEADER]! & 6, 2);
    assert.deepEqual(
      [...data.slice(HEADER + 8, HEADER + 16)],
      [7, 0, 0, 0, 0, 0, 0, 0x80],
    );
    assert.equal(data[XMM0], 0x5a);
    assert.equal(data[AVX_AREA], 0, "left alone");
  });
}

test("XRSTOR and XRSTORS: what is in the area, or the initial state", (machine) => {
  for (const [name, code] of [["XRSTOR", XRSTOR], ["XRSTORS", XRSTORS]]) {
    machine.vcpu.setXsave(state(machine, 7) as Uint8Array<ArrayBuffer>);
    const area = new Uint8Array(1024);
    area.set([0x80, 0x5f], MXCSR);
    area.fill(0x77, XMM0, XMM0 + 16);
    area[HEADER] = 2;
    area.set([7, 0, 0, 0, 0, 0, 0, 0x80], HEADER + 8);
    const { fault } = machine.run({
      code: [...requestOf(6), ...code as number[]],
      cpl: 0,
      data: area,
    });
    assert.equal(fault, undefined, name as string);
    const after = machine.vcpu.getXsave();
    assert.equal(after[XMM0], 0x77, "loaded");
    assert.deepEqual([...after.slice(MXCSR, MXCSR + 2)], [0x80, 0x5f]);
    assert.equal(after[AVX_AREA], 0, "initial");
    assert.equal(after[HEADER]! & 4, 0);
    assert.equal(after[0], 0x7f, "not requested");
  }
});

test("XRSTOR: reserved bits, a misaligned area, components not enabled: #GP", (machine) => {
  const area = (change: (bytes: Uint8Array) => void) => {
    const bytes = new Uint8Array(1024);
    change(bytes);
    return bytes;
  };
  const code = [...requestOf(7), ...XRSTOR];
  const bad = [
    area((bytes) => bytes[HEADER] = 8),
    area((bytes) => bytes[HEADER + 16] = 1),
    area((bytes) => bytes[HEADER + 8] = 1),
    area((bytes) => bytes.set([2, 0xff, 0xff, 0xff], MXCSR)),
  ];
  for (const data of bad) {
    assert.equal(machine.run({ code, cpl: 0, data }).fault?.vector, 13);
  }
  const registers = { rbx: BigInt(DATA + 16) };
  const { fault } = machine.run({ code, cpl: 0, registers });
  assert.equal(fault?.vector, 13);
  const standard = { code: [...requestOf(7), ...XRSTORS], cpl: 0 } as const;
  assert.equal(machine.run(standard).fault?.vector, 13, "not compacted");
});

test("LDMXCSR and STMXCSR: there and back; reserved bits are #GP", (machine) => {
  const code = [0x0f, 0xae, 0x13, 0x0f, 0xae, 0x5b, 0x08]; // [rbx], [rbx + 8]
  const data = Uint8Array.of(0x80, 0x3f, 0, 0);
  assert.deepEqual(
    [...machine.run({ code, cpl: 0, data }).data.slice(8, 12)],
    [...data],
  );
  const bad = Uint8Array.of(0x80, 0x1f, 1, 0);
  assert.equal(machine.run({ code, cpl: 0, data: bad }).fault?.vector, 13);
});

Deno.test("pieces: the compacted format leaves out components and aligns some", () => {
  const components = [
    { index: 2, size: 256, offset: 576, aligned: false },
    { index: 5, size: 8, offset: 1088, aligned: false },
    { index: 6, size: 512, offset: 1152, aligned: true },
    { index: 9, size: 8, offset: 2688, aligned: false },
  ];
  const at = (layout?: bigint) =>
    pieces(components, layout).map(({ to }) => to);
  assert.deepEqual(at().slice(3), [576, 1088, 1152, 2688]);
  assert.deepEqual(at(0x264n).slice(3), [576, 832, 896, 1408]);
  assert.deepEqual(at(0x240n).slice(3), [576, 1088]);
});
