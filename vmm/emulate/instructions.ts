/**
 * All instructions that the VMM can carry out, and the search for one.
 *
 * @module
 */
import { BIT_COUNTS } from "./bit_counts.ts";
import { BMI } from "./bmi.ts";
import {
  decodeOpcode,
  decodeOperands,
  type Opcode,
  type Operands,
} from "./decode.ts";
import { EXCHANGE } from "./exchange.ts";
import type { Instruction } from "./instruction.ts";
import { SYSTEM } from "./system_instructions.ts";
import { XSAVE } from "./xsave.ts";

/** All of them. */
export const INSTRUCTIONS: readonly Instruction[] = [
  ...SYSTEM,
  ...BIT_COUNTS,
  ...BMI,
  ...EXCHANGE,
  ...XSAVE,
];

const byOpcode = Map.groupBy(
  INSTRUCTIONS,
  ({ map, opcode, vex }) => key(map, opcode, vex ?? false),
);

function key(map: number, opcode: number, vex: boolean): number {
  return map << 9 | (vex ? 0x100 : 0) | opcode;
}

/** An instruction, found and taken apart. */
export interface Found {
  /** Which one it is. */
  readonly instruction: Instruction;
  /** Its prefixes and opcode. */
  readonly opcode: Opcode;
  /** Its operands. */
  readonly operands: Operands;
}

/**
 * The instruction that `bytes` begin with, or undefined when it is none of
 * these.
 *
 * @throws {TruncatedInstruction} when more bytes are needed to know
 */
export function findInstruction(bytes: Uint8Array): Found | undefined {
  const opcode = decodeOpcode(bytes);
  const candidates = byOpcode.get(key(opcode.map, opcode.byte, opcode.vex));
  if (candidates === undefined) return undefined;
  for (const instruction of candidates) {
    const { prefix, wide, modrm = true } = instruction;
    if (prefix !== undefined && prefix !== opcode.prefix) continue;
    if (wide !== undefined && wide !== opcode.wide) continue;
    if (!modrm) return { instruction, opcode, operands: noOperands(opcode) };
    const operands = decodeOperands(bytes, opcode, instruction.immediate);
    if (matches(instruction, operands)) {
      return { instruction, opcode, operands };
    }
  }
  return undefined;
}

function matches(instruction: Instruction, operands: Operands): boolean {
  const { extension, form, rm } = instruction;
  const isMemory = operands.memory !== undefined;
  return (extension === undefined || extension === operands.extension) &&
    (form === undefined || (form === "memory") === isMemory) &&
    (rm === undefined || rm === (operands.rm & 7));
}

function noOperands({ length }: Opcode): Operands {
  const memory = undefined;
  return { reg: 0, extension: 0, rm: 0, memory, immediate: 0, length };
}
