/**
 * What the tables of instructions are made of.
 *
 * @module
 */
import type { StoppedCpu } from "./stopped_cpu.ts";

/** An instruction that the VMM can carry out. Fields left out match anything. */
export interface Instruction {
  /** Its name in the Intel SDM, for counts and messages. */
  readonly name: string;
  /** One of {@linkcode OpcodeMap}. */
  readonly map: number;
  /** The opcode byte. */
  readonly opcode: number;
  /** The prefix that is part of the opcode: 0xf3, 0xf2, 0x66, or 0 for none. */
  readonly prefix?: number;
  /** ModRM follows; default true. */
  readonly modrm?: boolean;
  /** The value of ModRM.reg, where that is part of the opcode (`/n`). */
  readonly extension?: number;
  /** The value of ModRM.rm, where the whole ModRM byte is opcode. */
  readonly rm?: number;
  /** Whether ModRM.rm must be memory or a register. */
  readonly form?: "memory" | "register";
  /** Carries it out; RIP is advanced by the caller. */
  execute(cpu: StoppedCpu): void;
}
