/**
 * The instructions that the VMM carries out itself: those that are privileged,
 * or that mean something else on the CPU at CPL3. And the search for one.
 *
 * @module
 */
import {
  decodeOpcode,
  decodeOperands,
  type Opcode,
  type Operands,
} from "./decode.ts";
import type { Instruction } from "./instruction.ts";
import { SYSTEM } from "./system_instructions.ts";
import { XSAVE } from "./xsave.ts";

/** All of them. */
export const INSTRUCTIONS: readonly Instruction[] = [
  ...SYSTEM,
  ...XSAVE,
];

const byOpcode = Map.groupBy(
  INSTRUCTIONS,
  ({ map, opcode }) => key(map, opcode),
);

function key(map: number, opcode: number): number {
  return map << 8 | opcode;
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
  const candidates = byOpcode.get(key(opcode.map, opcode.byte));
  if (candidates === undefined) return undefined;
  for (const instruction of candidates) {
    const { prefix, modrm = true } = instruction;
    if (prefix !== undefined && prefix !== opcode.prefix) continue;
    if (!modrm) return { instruction, opcode, operands: noOperands(opcode) };
    const operands = decodeOperands(bytes, opcode);
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
  return { reg: 0, extension: 0, rm: 0, memory, length };
}
