/** Instructions on a vCPU: the same at CPL0 as on the CPU at CPL3. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import {
  DATA,
  LongModeMachine,
  type Outcome,
  type Run,
} from "./testing/long_mode_machine.ts";
import { READ_ONLY_DATA, UNMAPPED } from "./testing/long_mode_machine.ts";

/** RFLAGS bits that an instruction leaves undefined are not compared. */
const PF = 1n << 2n;
const AF = 1n << 4n;
const ZF = 1n << 6n;
const SF = 1n << 7n;
const STATUS = 0x8d5n;

function test(name: string, body: (machine: LongModeMachine) => void): void {
  const fn = () => {
    using machine = new LongModeMachine();
    body(machine);
  };
  Deno.test(needing([KVM], { name, fn }));
}

/** Runs at both levels, compares everything, and returns the outcome. */
function both(
  machine: LongModeMachine,
  run: Omit<Run, "cpl">,
  undefinedFlags = 0n,
): Outcome {
  const native = machine.run({ ...run, cpl: 3 });
  const kernel = machine.run({ ...run, cpl: 0 });
  const comparable = ({ registers, data, fault }: Outcome) => ({
    registers: {
      ...registers,
      // CPL3 changes stacks at a fault.
      rsp: fault ? 0n : registers.rsp,
      rflags: registers.rflags & ~undefinedFlags,
    },
    data,
    // Bit 2: the access came from CPL3.
    fault: fault && { ...fault, errorCode: (fault.errorCode ?? 0) & ~4 },
  });
  assert.deepEqual(comparable(kernel), comparable(native));
  return kernel;
}

/** Values that have brought bit tricks down before. */
const VALUES = [
  0n,
  1n,
  2n,
  0x7fn,
  0x80n,
  0x8000n,
  0xffffn,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  0xffff_ffff_ffff_ffffn,
  0x0123_4567_89ab_cdefn,
  0xdead_beef_0000_0f0fn,
];

/** Encodings of one instruction: RAX is the destination, RCX and RDX sources. */
interface Case {
  name: string;
  codes: number[][];
  undefinedFlags?: bigint;
}

// c1 = modrm: reg eax, rm ecx. VEX: C4 RXB.map W.vvvv.L.pp; vvvv = edx is 0101.
const vex = (map: number, pp: number, opcode: number, ...rest: number[]) =>
  [0, 0x80].map((w) => [
    0xc4,
    0xe0 | map,
    w | 0b0101 << 3 | pp,
    opcode,
    ...rest,
  ]);

const CASES: Case[] = [
  {
    name: "POPCNT",
    codes: [
      [0xf3, 0x0f, 0xb8, 0xc1],
      [0xf3, 0x48, 0x0f, 0xb8, 0xc1],
      [0x66, 0xf3, 0x0f, 0xb8, 0xc1],
    ],
  },
  {
    name: "CRC32",
    codes: [
      [0xf2, 0x0f, 0x38, 0xf0, 0xc1],
      [0xf2, 0x0f, 0x38, 0xf0, 0xc5], // CH
      [0xf2, 0x40, 0x0f, 0x38, 0xf0, 0xc5], // BPL
      [0xf2, 0x0f, 0x38, 0xf1, 0xc1],
      [0x66, 0xf2, 0x0f, 0x38, 0xf1, 0xc1],
      [0xf2, 0x48, 0x0f, 0x38, 0xf1, 0xc1],
    ],
  },
  {
    name: "ADCX",
    codes: [
      [0x66, 0x0f, 0x38, 0xf6, 0xc1],
      [0x66, 0x48, 0x0f, 0x38, 0xf6, 0xc1],
    ],
  },
  {
    name: "ADOX",
    codes: [
      [0xf3, 0x0f, 0x38, 0xf6, 0xc1],
      [0xf3, 0x48, 0x0f, 0x38, 0xf6, 0xc1],
    ],
  },
  { name: "ANDN", codes: vex(2, 0, 0xf2, 0xc1), undefinedFlags: PF | AF },
  { name: "BLSR", codes: vex(2, 0, 0xf3, 0xc9), undefinedFlags: PF | AF },
  { name: "BLSMSK", codes: vex(2, 0, 0xf3, 0xd1), undefinedFlags: PF | AF },
  { name: "BLSI", codes: vex(2, 0, 0xf3, 0xd9), undefinedFlags: PF | AF },
  { name: "BZHI", codes: vex(2, 0, 0xf5, 0xc1), undefinedFlags: PF | AF },
  { name: "PEXT", codes: vex(2, 2, 0xf5, 0xc1) },
  { name: "PDEP", codes: vex(2, 3, 0xf5, 0xc1) },
  { name: "MULX", codes: vex(2, 3, 0xf6, 0xc1) },
  {
    name: "BEXTR",
    codes: vex(2, 0, 0xf7, 0xc1),
    undefinedFlags: PF | AF | SF,
  },
  { name: "SHLX", codes: vex(2, 1, 0xf7, 0xc1) },
  { name: "SARX", codes: vex(2, 2, 0xf7, 0xc1) },
  { name: "SHRX", codes: vex(2, 3, 0xf7, 0xc1) },
  {
    name: "RORX",
    codes: [0, 0x80].flatMap((w) =>
      [0, 1, 31, 33, 63, 255].map((count) => [
        0xc4,
        0xe3,
        w | 0x7b,
        0xf0,
        0xc1,
        count,
      ])
    ),
  },
];

for (const { name, codes, undefinedFlags } of CASES) {
  test(`${name}: registers and flags as on the CPU`, (machine) => {
    let rotation = 0;
    for (const code of codes) {
      for (const rcx of VALUES) {
        rotation++;
        const rax = VALUES[(rotation * 7) % VALUES.length]!;
        const rdx = VALUES[(rotation * 5 + 3) % VALUES.length]!;
        const rflags = rotation % 2 ? 2n | STATUS : 2n;
        const registers = { rax, rcx, rdx, rflags };
        both(machine, { code, registers }, undefinedFlags);
      }
    }
  });
}

test("memory operands: every way to say where", (machine) => {
  const data = Uint8Array.from({ length: 256 }, (_, i) => (i * 37 + 11) & 0xff);
  const popcnt = (...operand: number[]) => [
    0xf3,
    0x48,
    0x0f,
    0xb8,
    ...operand,
  ];
  const registers = { rcx: 8n, r12: BigInt(DATA), r13: BigInt(DATA), r9: 4n };
  const codes = [
    popcnt(0x03), // [rbx]
    popcnt(0x43, 0x7f), // [rbx + 127]
    popcnt(0x43, 0x08), // [rbx + 8]
    popcnt(0x83, 0x40, 0, 0, 0), // [rbx + 64]
    popcnt(0x04, 0xcb), // [rbx + rcx * 8]
    popcnt(0x44, 0x4b, 0x10), // [rbx + rcx * 2 + 16]
    popcnt(0x04, 0x25, 0x10, 0, 0x21, 0), // [DATA + 16]
    popcnt(0x05, 0xf7, 0xff, 0, 0), // [rip + ...], inside of DATA
    [0xf3, 0x49, 0x0f, 0xb8, 0x45, 0x03], // [r13 + 3]
    [0xf3, 0x49, 0x0f, 0xb8, 0x04, 0x24], // [r12]
    [0xf3, 0x4a, 0x0f, 0xb8, 0x04, 0x8b], // [rbx + r9 * 4]
    [0x67, 0xf3, 0x0f, 0xb8, 0x03], // [ebx]
    [0x66, 0xf3, 0x0f, 0xb8, 0x43, 0x01], // 16 bits
    [0xf2, 0x0f, 0x38, 0xf0, 0x43, 0x05], // CRC32, 8 bits
    [0xc4, 0xe2, 0xf8, 0xf2, 0x43, 0x09], // ANDN rax, rax, [rbx + 9]
  ];
  for (const code of codes) both(machine, { code, data, registers });
});

test("CMPXCHG16B: equal, unequal, misaligned, and where it may not write", (machine) => {
  const code = [0xf0, 0x48, 0x0f, 0xc7, 0x4b, 0x10]; // lock, [rbx + 16]
  const data = new Uint8Array(32);
  data.set([1, 2, 3, 4], 16);
  data.set([9], 31);
  const old = { rax: 0x0403_0201n, rdx: 0x0900_0000_0000_0000n };
  const rcx = 0x7777n;
  // The operand's address is RBX, whose value is also what is written.
  const equal = both(machine, { code, data, registers: { ...old, rcx } });
  assert.equal(equal.registers.rflags & ZF, ZF);
  assert.deepEqual([...equal.data.slice(16, 20)], [0, 0, 0x21, 0]);
  assert.deepEqual([...equal.data.slice(24, 27)], [0x77, 0x77, 0]);
  const registers = { ...old, rdx: 0n, rcx, rflags: 0x8d7n };
  const unequal = both(machine, { code, data, registers });
  assert.equal(unequal.registers.rflags & ZF, 0n);
  assert.equal(unequal.registers.rdx, old.rdx);
  const at = (rbx: number) =>
    both(machine, { code, registers: { rbx: BigInt(rbx) } });
  assert.equal(at(DATA + 8).fault?.vector, 13);
  assert.deepEqual(at(READ_ONLY_DATA).fault, {
    vector: 14,
    errorCode: 3,
    cr2: BigInt(READ_ONLY_DATA + 16),
  });
  assert.equal(at(UNMAPPED).fault?.errorCode, 2);
  assert.equal(at(UNMAPPED).registers.rip, 0x20_0000n);
});

test("an operand across two pages, and into one that isn't there", (machine) => {
  const code = [0xf3, 0x48, 0x0f, 0xb8, 0x03]; // popcnt rax, [rbx]
  const data = new Uint8Array(4096).fill(0x11);
  const rbx = BigInt(DATA + 4092);
  both(machine, { code, data, registers: { rbx } });
  const last = both(machine, {
    code,
    registers: { rbx: BigInt(UNMAPPED - 4) },
  });
  assert.equal(last.fault?.cr2, BigInt(UNMAPPED));
});

test("fences, cache hints, RDRAND, RDSEED, XGETBV, FSGSBASE", (machine) => {
  both(machine, {
    code: [0x0f, 0xae, 0xe8, 0x0f, 0xae, 0xf0, 0x0f, 0xae, 0xf8],
  });
  both(machine, { code: [0x66, 0x0f, 0xae, 0x3b] });
  both(machine, { code: [0x66, 0x0f, 0xae, 0x33] });
  // XGETBV at CPL3 can give the host's XCR0; after a reset it is 1.
  const xgetbv = machine.run({ code: [0x0f, 0x01, 0xd0], cpl: 0 });
  assert.equal(xgetbv.registers.rax, 1n);
  both(machine, { code: [0xf3, 0x48, 0x0f, 0xae, 0xc0] }); // rdfsbase rax
  const rax = 0x1234_5678_9abcn;
  const wrgsbase = [0xf3, 0x48, 0x0f, 0xae, 0xd8];
  const rdgsbase = [0xf3, 0x48, 0x0f, 0xae, 0xc9];
  const { registers } = both(machine, {
    code: [...wrgsbase, ...rdgsbase],
    registers: { rax },
  });
  assert.equal(registers.rcx, rax);
  for (const modrm of [0xf0, 0xf8]) {
    const code = [0x48, 0x0f, 0xc7, modrm];
    const results = ([0, 3] as const).map((cpl) =>
      machine.run({ code, cpl, registers: { rflags: 0x8d6n } }).registers
    );
    for (const { rflags } of results) assert.equal(rflags, 3n);
    assert.notEqual(results[0]!.rax, results[1]!.rax);
  }
});

test("CLAC and STAC change RFLAGS.AC and nothing else", (machine) => {
  const AC = 1n << 18n;
  const stac = machine.run({ code: [0x0f, 0x01, 0xcb], cpl: 0 });
  assert.equal(stac.registers.rflags, 2n | AC);
  const registers = { rflags: 0x8d7n | AC };
  const clac = machine.run({ code: [0x0f, 0x01, 0xca], cpl: 0, registers });
  assert.equal(clac.registers.rflags, 0x8d7n);
});

test("INT3 is a trap: #BP behind it", (machine) => {
  const { fault, registers } = both(machine, { code: [0x90, 0xcc, 0x90] });
  assert.equal(fault?.vector, 3);
  assert.equal(registers.rip, 0x20_0002n);
});

test("VERW: ZF says whether the segment can be written", (machine) => {
  for (const rax of [0x10n, 0x18n, 0x28n, 0x2bn, 0x33n, 0x1000n, 0n, 4n]) {
    const code = [0x0f, 0x00, 0xe8];
    const { rflags } = machine.run({ code, cpl: 0, registers: { rax } })
      .registers;
    const writable = [0x18n, 0x28n, 0x2bn].includes(rax);
    assert.equal((rflags & ZF) !== 0n, writable, `selector ${rax}`);
  }
});
