/**
 * Carries out instructions that KVM's emulator refuses. On hosts without VT-x
 * or AMD-V, KVM emulates all of the guest's kernel mode, and its emulator
 * doesn't know every instruction.
 *
 * @module
 */
import type { Registers, SpecialRegisters } from "../ffi/kvm/registers.ts";
import type { Vcpu } from "../ffi/kvm/vcpu.ts";
import type { GuestMemory } from "../guest/memory.ts";
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

/** EM and TS. */
const CR0_NO_X87 = 0b1100n;
const EFER_LMA = 1n << 10n;
const PAGE = 4096n;

/** Carries out one vCPU's refused instructions. It belongs to its thread. */
export class InstructionEmulation implements Disposable {
  /** How often each instruction was carried out. */
  readonly counts: Record<string, number> = {};
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
   * lets the guest have the exception that it raises. False when it is none
   * that can be.
   *
   * @throws {GuestAddressError} its operands are not in RAM
   */
  carryOut(): boolean {
    const registers = this.#vcpu.getRegs();
    const sregs = this.#vcpu.getSregs();
    try {
      const found = this.#find(registers, sregs);
      if (found === undefined) return this.#native(registers, sregs);
      this.#execute(found, registers, sregs);
      this.#count(found.instruction.name);
      return true;
    } catch (error) {
      if (error instanceof GuestFault) {
        this.#raise(error);
        return true;
      }
      if (error instanceof TruncatedInstruction) return false;
      throw error;
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
  #native(registers: Registers, sregs: SpecialRegisters): boolean {
    if (!isLong(sregs)) return false;
    // KVM doesn't tell the CPU of these bits.
    if (sregs.control("cr0") & CR0_NO_X87 && this.#isX87) {
      throw deviceNotAvailable();
    }
    this.#step ??= new NativeStep(this.#ram);
    const { rflags } = registers;
    const memory = new LinearMemory(this.#ram, { sregs, cpl: 0, rflags });
    const vcpu = this.#vcpu;
    if (!this.#step.step({ vcpu, registers, sregs, memory })) return false;
    vcpu.setRegs(registers);
    this.#count("native");
    return true;
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
  #raise({ vector, errorCode, address }: GuestFault): void {
    if (address !== undefined) {
      const sregs = this.#vcpu.getSregs();
      sregs.setControl("cr2", address);
      this.#vcpu.setSregs(sregs);
    }
    this.#vcpu.injectException(vector, errorCode);
    this.#count(`fault ${vector}`);
  }

  #count(name: string): void {
    this.counts[name] = (this.counts[name] ?? 0) + 1;
  }

  /** Gives back the second VM, if an instruction needed one. */
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
}

/** 64-bit mode. */
function isLong(sregs: SpecialRegisters): boolean {
  return (sregs.control("efer") & EFER_LMA) !== 0n &&
    sregs.segment("cs").l === 1;
}

/** Cleared by every completed instruction. */
const RFLAGS_RF = 1n << 16n;
