/**
 * BMI1 and BMI2: bit manipulation of general registers, encoded with VEX
 * (Intel SDM vol. 2).
 *
 * @module
 */
import { OpcodeMap } from "./decode.ts";
import { invalidOpcode } from "./fault.ts";
import type { Instruction } from "./instruction.ts";
import type { StoppedCpu } from "./stopped_cpu.ts";

const M0F38 = OpcodeMap.M0F38;
const M0F3A = OpcodeMap.M0F3A;
const RDX = 2;

/** The low `count` bits set. */
function ones(count: bigint): bigint {
  return (1n << count) - 1n;
}

/** Bits of `source`, in order, to where `mask` has ones. */
export function deposit(source: bigint, mask: bigint): bigint {
  let result = 0n;
  for (; mask !== 0n; mask &= mask - 1n) {
    if (source & 1n) result |= mask & -mask;
    source >>= 1n;
  }
  return result;
}

/** Bits of `source` where `mask` has ones, packed at the low end. */
export function extract(source: bigint, mask: bigint): bigint {
  let result = 0n;
  let at = 0n;
  for (; mask !== 0n; mask &= mask - 1n) {
    if (source & mask & -mask) result |= 1n << at;
    at++;
  }
  return result;
}

function andn(cpu: StoppedCpu): void {
  const first = cpu.register(cpu.opcode.vvvv);
  const result = BigInt.asUintN(cpu.bits, ~first) & cpu.rm();
  cpu.setRegister(cpu.operands.reg, result);
  cpu.setLogicFlags(result, false);
}

function bextr(cpu: StoppedCpu): void {
  const control = cpu.register(cpu.opcode.vvvv);
  const start = control & 0xffn;
  const length = control >> 8n & 0xffn;
  const result = cpu.rm() >> start & ones(length);
  cpu.setRegister(cpu.operands.reg, result);
  cpu.setFlags({ CF: false, ZF: result === 0n, OF: false });
}

/** Group 17: the destination is VEX.vvvv. */
function lowestBit(
  compute: (source: bigint) => bigint,
  carry: (source: bigint) => boolean,
): (cpu: StoppedCpu) => void {
  return (cpu) => {
    const source = cpu.rm();
    const result = BigInt.asUintN(cpu.bits, compute(source));
    cpu.setRegister(cpu.opcode.vvvv, result);
    cpu.setLogicFlags(result, carry(source));
  };
}

function bzhi(cpu: StoppedCpu): void {
  const from = cpu.register(cpu.opcode.vvvv, 8);
  const beyond = from >= BigInt(cpu.bits);
  const source = cpu.rm();
  const result = beyond ? source : source & ones(from);
  cpu.setRegister(cpu.operands.reg, result);
  cpu.setLogicFlags(result, beyond);
}

function mulx(cpu: StoppedCpu): void {
  const product = cpu.register(RDX) * cpu.rm();
  cpu.setRegister(cpu.opcode.vvvv, product);
  // When both are the same register, it gets the upper half.
  cpu.setRegister(cpu.operands.reg, product >> BigInt(cpu.bits));
}

function pdep(cpu: StoppedCpu): void {
  const source = cpu.register(cpu.opcode.vvvv);
  cpu.setRegister(cpu.operands.reg, deposit(source, cpu.rm()));
}

function pext(cpu: StoppedCpu): void {
  const source = cpu.register(cpu.opcode.vvvv);
  cpu.setRegister(cpu.operands.reg, extract(source, cpu.rm()));
}

function rorx(cpu: StoppedCpu): void {
  const bits = BigInt(cpu.bits);
  const count = BigInt(cpu.operands.immediate) & (bits - 1n);
  const source = cpu.rm();
  const result = source >> count | source << (bits - count);
  cpu.setRegister(cpu.operands.reg, result);
}

function shift(
  compute: (source: bigint, count: bigint, bits: number) => bigint,
): (cpu: StoppedCpu) => void {
  return (cpu) => {
    const count = cpu.register(cpu.opcode.vvvv) & BigInt(cpu.bits - 1);
    cpu.setRegister(cpu.operands.reg, compute(cpu.rm(), count, cpu.bits));
  };
}

/** One instruction in map 0F38; VEX.L must be 0 for all of them. */
function vex(
  name: string,
  opcode: number,
  prefix: number,
  execute: (cpu: StoppedCpu) => void,
  more: Partial<Instruction> = {},
): Instruction {
  return {
    name,
    map: M0F38,
    opcode,
    prefix,
    vex: true,
    ...more,
    execute: (cpu) => {
      if (cpu.opcode.vexL) throw invalidOpcode();
      execute(cpu);
    },
  };
}

/** See the module's description. */
export const BMI: readonly Instruction[] = [
  vex("ANDN", 0xf2, 0, andn),
  vex(
    "BLSR",
    0xf3,
    0,
    lowestBit((source) => source & (source - 1n), (source) => source === 0n),
    { extension: 1 },
  ),
  vex(
    "BLSMSK",
    0xf3,
    0,
    lowestBit((source) => source ^ (source - 1n), (source) => source === 0n),
    { extension: 2 },
  ),
  vex(
    "BLSI",
    0xf3,
    0,
    lowestBit((source) => source & -source, (source) => source !== 0n),
    { extension: 3 },
  ),
  vex("BZHI", 0xf5, 0, bzhi),
  vex("PEXT", 0xf5, 0xf3, pext),
  vex("PDEP", 0xf5, 0xf2, pdep),
  vex("MULX", 0xf6, 0xf2, mulx),
  vex("BEXTR", 0xf7, 0, bextr),
  vex("SHLX", 0xf7, 0x66, shift((source, count) => source << count)),
  vex(
    "SARX",
    0xf7,
    0xf3,
    shift((source, count, bits) => BigInt.asIntN(bits, source) >> count),
  ),
  vex("SHRX", 0xf7, 0xf2, shift((source, count) => source >> count)),
  vex("RORX", 0xf0, 0xf2, rorx, { map: M0F3A, immediate: 1 }),
];
