/**
 * What a vCPU asks of this room: the instructions that a KVM without VMX and
 * SVM refuses, and the SYSCALLs that it leaves half done. Loaded only on such
 * a host.
 *
 * @module
 */
import type { Vcpu } from "../ffi/kvm/vcpu.ts";
import type { GuestMemory } from "../guest/memory.ts";
import { InstructionEmulation } from "./instruction_emulation.ts";
import {
  SyscallCompletion,
  type SyscallCompletionState,
} from "./syscall_completion.ts";

/** One vCPU's; it belongs to the vCPU's thread. */
export class RefusedInstructions implements Disposable {
  readonly #instructions: InstructionEmulation;
  readonly #syscalls: SyscallCompletion;

  /**
   * For `vcpu`.
   *
   * @param attach gives the guest's RAM, when the first instruction needs it
   */
  constructor(vcpu: Vcpu, attach: () => GuestMemory) {
    let memory: GuestMemory | undefined;
    const ram = () => memory ??= attach();
    this.#instructions = new InstructionEmulation(vcpu, ram);
    this.#syscalls = new SyscallCompletion(vcpu, ram);
  }

  /**
   * After `KVM_EXIT_INTERNAL_ERROR`/emulation: carries the instruction out.
   *
   * @throws {GuestAddressError} its operands are not in RAM
   */
  refused(): "handled" | "unknown" {
    return this.#instructions.carryOut() ? "handled" : "unknown";
  }

  /** `Exit.X86_WRMSR`: the guest says where SYSCALL goes. */
  lstarWritten(): void {
    this.#syscalls.lstarWritten();
  }

  /** `Exit.DEBUG`; false when that is somebody else's. */
  stopped(): boolean {
    return this.#syscalls.stopped();
  }

  /** How often each instruction was carried out, by its name. */
  get counts(): Record<string, number> {
    const { count } = this.#syscalls;
    return {
      ...this.#instructions.counts,
      ...(count > 0 && { SYSCALL: count }),
    };
  }

  /** What a snapshot keeps of it, as plain data. */
  save(): SyscallCompletionState {
    return this.#syscalls.save();
  }

  /** Goes on as saved, once the vCPU's registers and MSRs are restored. */
  restore(state: SyscallCompletionState): void {
    this.#syscalls.restore(state);
  }

  /** Gives back what instructions needed. */
  [Symbol.dispose](): void {
    this.#instructions[Symbol.dispose]();
  }
}
