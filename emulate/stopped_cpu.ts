/**
 * A vCPU that stopped in front of an instruction: its registers and memory as
 * that instruction's operands. Register changes count once the instruction
 * has completed; memory is written last, so that a fault leaves no trace.
 *
 * @module
 */
import type {
  RegisterName,
  Registers,
  SpecialRegisters,
} from "../ffi/kvm/registers.ts";
import type { Vcpu } from "../ffi/kvm/vcpu.ts";
import type { GuestMemory } from "../guest/memory.ts";
import type { MemoryOperand, Opcode, Operands } from "./decode.ts";
import { generalProtection, GuestFault, Vector } from "./fault.ts";
import { LinearMemory } from "./linear_memory.ts";

/** Register numbers of ModRM, as names. */
const NUMBERED: readonly RegisterName[] = [
  "rax",
  "rcx",
  "rdx",
  "rbx",
  "rsp",
  "rbp",
  "rsi",
  "rdi",
  "r8",
  "r9",
  "r10",
  "r11",
  "r12",
  "r13",
  "r14",
  "r15",
];

const RSP = 4;
const RBP = 5;

/** RFLAGS bits (SDM vol. 1, §3.4.3). */
export const Flag = {
  CF: 1n << 0n,
  PF: 1n << 2n,
  AF: 1n << 4n,
  ZF: 1n << 6n,
  SF: 1n << 7n,
  OF: 1n << 11n,
  AC: 1n << 18n,
} as const;

/** What a {@linkcode StoppedCpu} is made of. */
export interface StoppedState {
  /** The vCPU. */
  readonly vcpu: Vcpu;
  /** The guest's RAM. */
  readonly memory: () => GuestMemory;
  /** Its registers, to be changed; RIP is the instruction's own. */
  readonly registers: Registers;
  /** Its segments and control registers. */
  readonly sregs: SpecialRegisters;
  /** The instruction's opcode. */
  readonly opcode: Opcode;
  /** Its operands. */
  readonly operands: Operands;
}

/** A decoded instruction in front of its CPU. */
export class StoppedCpu {
  /** The vCPU. */
  readonly vcpu: Vcpu;
  /** The instruction's opcode. */
  readonly opcode: Opcode;
  /** Its operands. */
  readonly operands: Operands;
  /** Its registers, to be changed; RIP is the instruction's own. */
  readonly registers: Registers;
  /** Segments and control registers. */
  readonly sregs: SpecialRegisters;
  /** An exception to raise after the instruction, such as #BP. */
  trap: number | undefined;
  readonly #state: StoppedState;
  #memory: LinearMemory | undefined;

  /** The state in front of one instruction. */
  constructor(state: StoppedState) {
    this.#state = state;
    this.vcpu = state.vcpu;
    this.opcode = state.opcode;
    this.operands = state.operands;
    this.registers = state.registers;
    this.sregs = state.sregs;
  }

  /** The current privilege level, 0 to 3. */
  get cpl(): number {
    return this.sregs.segment("ss").dpl;
  }

  /** Memory by linear address. */
  get memory(): LinearMemory {
    this.#memory ??= new LinearMemory(this.#state.memory(), {
      sregs: this.sregs,
      cpl: this.cpl,
      rflags: this.registers.rflags,
    });
    return this.#memory;
  }

  /** Bits of the instruction's operands: 16, 32 or 64. */
  get bits(): number {
    if (this.opcode.wide) return 64;
    return this.opcode.operand16 ? 16 : 32;
  }

  /** The low `bits` of register `number`. */
  register(number: number, bits: number = this.bits): bigint {
    return BigInt.asUintN(bits, this.registers[NUMBERED[number]!]);
  }

  /**
   * Writes register `number`: 64 bits, 32 that clear the upper half, or 16 that
   * leave the rest alone.
   */
  setRegister(number: number, value: bigint, bits: number = this.bits): void {
    const name = NUMBERED[number]!;
    const low = BigInt.asUintN(bits, value);
    this.registers[name] = bits === 16
      ? this.registers[name] & ~0xffffn | low
      : low;
  }

  /** The operand that ModRM.rm names, register or memory. */
  rm(bits: number = this.bits): bigint {
    const { memory, rm } = this.operands;
    if (memory === undefined) return this.register(rm, bits);
    return toBigInt(this.load(bits / 8));
  }

  /** Bytes of the memory operand. */
  load(length: number): Uint8Array<ArrayBuffer> {
    return this.memory.read(this.address(), length);
  }

  /** Writes bytes to the memory operand. */
  store(bytes: Uint8Array): void {
    this.memory.write(this.address(), bytes);
  }

  /** The linear address of the memory operand. */
  address(): bigint {
    const { memory } = this.operands;
    if (memory === undefined) throw new Error("no memory operand");
    const linear = BigInt.asUintN(64, this.#effective(memory) + this.#base());
    this.#checkCanonical(linear, memory);
    return linear;
  }

  #effective(memory: MemoryOperand): bigint {
    let address = BigInt(memory.displacement);
    if (memory.ripRelative) {
      address += this.registers.rip + BigInt(this.operands.length);
    }
    if (memory.base !== undefined) address += this.register(memory.base, 64);
    if (memory.index !== undefined) {
      address += this.register(memory.index, 64) * BigInt(memory.scale);
    }
    return BigInt.asUintN(this.opcode.address32 ? 32 : 64, address);
  }

  #base(): bigint {
    const { segment } = this.opcode;
    return segment === undefined ? 0n : this.sregs.segment(segment).base;
  }

  /** Through the stack pointers it is #SS, else #GP. */
  #checkCanonical(linear: bigint, { base }: MemoryOperand): void {
    const CR4_LA57 = 1n << 12n;
    const bits = this.sregs.control("cr4") & CR4_LA57 ? 57 : 48;
    if (BigInt.asIntN(bits, linear) === BigInt.asIntN(64, linear)) return;
    const stack = (base === RSP || base === RBP) && !this.opcode.segment;
    throw stack ? new GuestFault(Vector.STACK, 0) : generalProtection();
  }

  /** Sets and clears RFLAGS bits. */
  setFlags(values: Partial<Record<keyof typeof Flag, boolean>>): void {
    for (const [name, on] of Object.entries(values)) {
      const bit = Flag[name as keyof typeof Flag];
      const { rflags } = this.registers;
      this.registers.rflags = on ? rflags | bit : rflags & ~bit;
    }
  }
}

/** A little-endian number. */
export function toBigInt(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) {
    value = value << 8n | BigInt(bytes[i]!);
  }
  return value;
}

/** `length` little-endian bytes. */
export function toBytes(
  value: bigint,
  length: number,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) {
    bytes[i] = Number(value & 0xffn);
    value >>= 8n;
  }
  return bytes;
}
