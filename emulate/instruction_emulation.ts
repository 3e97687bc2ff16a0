/**
 * Carries out instructions that KVM's emulator refuses. On hosts without VT-x
 * or AMD-V, KVM emulates all of the guest's kernel mode, and its emulator
 * doesn't know every instruction.
 *
 * @module
 */
import type { Registers, SpecialRegisters } from "../ffi/kvm/registers.ts";
import type { Vcpu } from "../ffi/kvm/vcpu.ts";
import { GuestAddressError, type GuestMemory } from "../guest/memory.ts";
import {
  decodeOpcode,
  INSTRUCTION_MAX,
  OpcodeMap,
  TruncatedInstruction,
} from "./decode.ts";
import { deviceNotAvailable, GuestFault, invalidOpcode } from "./fault.ts";
import { findInstruction, type Found } from "./instructions.ts";
import { LinearMemory } from "./linear_memory.ts";
import { NativeStep } from "./native_step.ts";
import { StoppedCpu } from "./stopped_cpu.ts";

/** How often each instruction was stepped past, by its name. */
export type StepCounts = Record<string, number>;

/** EM and TS. */
const CR0_NO_X87 = 0b1100n;
const EFER_LMA = 1n << 10n;
const PAGE = 4096n;

/** Steps one vCPU past what KVM refuses. It belongs to the vCPU's thread. */
export class StepPast implements Disposable {
  /** How often each instruction was carried out. */
  readonly counts: StepCounts = {};
  readonly #vcpu: Vcpu;
  readonly #attach: () => GuestMemory;
  #memory: GuestMemory | undefined;
  #step: NativeStep | undefined;

  /**
   * For `vcpu`.
   *
   * @param attach gives the guest's RAM, when the first instruction needs it
   */
  constructor(
    vcpu: Vcpu,
    attach: () => GuestMemory,
  ) {
    this.#vcpu = vcpu;
    this.#attach = attach;
  }

  /**
   * After `KVM_EXIT_INTERNAL_ERROR`/emulation: carries the instruction out, or
   * lets the guest have the exception that it raises. Returns undefined, or
   * why that isn't possible.
   */
  step(): string | undefined {
    const registers = this.#vcpu.getRegs();
    const sregs = this.#vcpu.getSregs();
    try {
      const found = this.#find(registers, sregs);
      if (found === undefined) return this.#native(registers, sregs);
      this.#execute(found, registers, sregs);
      const { name } = found.instruction;
      this.counts[name] = (this.counts[name] ?? 0) + 1;
      return undefined;
    } catch (error) {
      if (error instanceof GuestFault) return this.#raise(error);
      if (error instanceof TruncatedInstruction) {
        return this.#unknown(registers.rip);
      }
      if (!(error instanceof GuestAddressError)) throw error;
      return `${this.#unknown(registers.rip)}: ${error.message}`;
    }
  }

  #find(
    registers: Registers,
    sregs: SpecialRegisters,
  ): Found | undefined {
    const long = isLong(sregs);
    const bytes = this.#vcpu.run.instructionBytes;
    if (!long) {
      // Other modes encode operands differently; one byte is one byte.
      const found = findInstruction(bytes.slice(0, 1));
      return found?.operands.length === 1 ? found : undefined;
    }
    try {
      return findInstruction(bytes);
    } catch (error) {
      if (!(error instanceof TruncatedInstruction)) throw error;
      return findInstruction(this.#fetch(registers, sregs));
    }
  }

  /** KVM may give fewer bytes than there are: up to the end of a page. */
  #fetch(registers: Registers, sregs: SpecialRegisters): Uint8Array {
    const { rip, rflags } = registers;
    const memory = new LinearMemory(this.#ram, {
      sregs,
      cpl: 0, // no access check: the CPU has fetched from here already
      rflags: rflags | 1n << 18n,
    });
    const inPage = Number(PAGE - rip % PAGE);
    if (inPage >= INSTRUCTION_MAX) return memory.read(rip, INSTRUCTION_MAX);
    const first = memory.read(rip, inPage);
    try {
      return memory.read(rip, INSTRUCTION_MAX);
    } catch (error) {
      if (error instanceof GuestFault) return first;
      throw error;
    }
  }

  /** What is in no table, but not privileged, the CPU itself carries out. */
  #native(registers: Registers, sregs: SpecialRegisters): string | undefined {
    const { rip, rflags } = registers;
    const unknown = this.#unknown(rip);
    if (!isLong(sregs)) return unknown;
    // KVM doesn't tell the CPU of these bits.
    if (sregs.control("cr0") & CR0_NO_X87 && this.#isX87) {
      throw deviceNotAvailable();
    }
    this.#step ??= new NativeStep(this.#ram);
    const memory = new LinearMemory(this.#ram, { sregs, cpl: 0, rflags });
    const vcpu = this.#vcpu;
    if (!this.#step.step({ vcpu, registers, sregs, memory })) return unknown;
    vcpu.setRegs(registers);
    this.counts.native = (this.counts.native ?? 0) + 1;
    return undefined;
  }

  #execute(
    { instruction, opcode, operands }: Found,
    registers: Registers,
    sregs: SpecialRegisters,
  ): void {
    if (opcode.lock) throw invalidOpcode();
    const cpu = new StoppedCpu({
      vcpu: this.#vcpu,
      memory: () => this.#ram,
      registers,
      sregs,
      opcode,
      operands,
    });
    instruction.execute(cpu);
    cpu.registers.rip += BigInt(operands.length);
    cpu.registers.rflags &= ~RFLAGS_RF;
    this.#vcpu.setRegs(cpu.registers);
    // A trap: the saved RIP is the next instruction's.
    if (cpu.trap !== undefined) this.#vcpu.injectException(cpu.trap);
  }

  /** RIP stays at the instruction. */
  #raise({ vector, errorCode, address }: GuestFault): undefined {
    if (address !== undefined) {
      const sregs = this.#vcpu.getSregs();
      sregs.setControl("cr2", address);
      this.#vcpu.setSregs(sregs);
    }
    this.#vcpu.injectException(vector, errorCode);
    const name = `fault ${vector}`;
    this.counts[name] = (this.counts[name] ?? 0) + 1;
    return undefined;
  }

  /** Gives back what {@linkcode NativeStep} took. */
  [Symbol.dispose](): void {
    this.#step?.[Symbol.dispose]();
  }

  get #ram(): GuestMemory {
    this.#memory ??= this.#attach();
    return this.#memory;
  }

  get #isX87(): boolean {
    const { map, byte } = decodeOpcode(this.#vcpu.run.instructionBytes);
    return map === OpcodeMap.ONE_BYTE && (byte & 0xf8) === 0xd8;
  }

  #unknown(rip: bigint): string {
    const bytes = Array.from(
      this.#vcpu.run.instructionBytes,
      (byte) => byte.toString(16).padStart(2, "0"),
    ).join(" ");
    return `KVM can't emulate the instruction ${bytes || "(no bytes)"} ` +
      `at RIP 0x${rip.toString(16)}`;
  }
}

/** 64-bit mode. */
function isLong(sregs: SpecialRegisters): boolean {
  return (sregs.control("efer") & EFER_LMA) !== 0n &&
    sregs.segment("cs").l === 1;
}

/** Cleared by every completed instruction. */
const RFLAGS_RF = 1n << 16n;
