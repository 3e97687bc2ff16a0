/**
 * Instructions that KVM's emulator refuses and that the VMM can carry out
 * itself. On hosts without VT-x or AMD-V, KVM emulates all of the guest's
 * kernel mode, and its emulator doesn't know every instruction.
 *
 * @module
 */
import type { Vcpu } from "../ffi/vcpu.ts";

const RFLAGS_AC = 1n << 18n;
const BREAKPOINT = 3;

/** An instruction, and what carrying it out does besides advancing RIP. */
export interface Step {
  /** The instruction, without prefixes. */
  readonly bytes: readonly number[];
  /** Its name, for counts and messages. */
  readonly name: string;
  /** RFLAGS after it. */
  readonly rflags?: (before: bigint) => bigint;
  /** An exception that it raises afterwards. */
  readonly exception?: number;
}

/** The instructions that can be stepped past. */
export const STEPS: readonly Step[] = [
  { name: "INT3", bytes: [0xcc], exception: BREAKPOINT },
  { name: "FWAIT", bytes: [0x9b] },
  {
    name: "CLAC",
    bytes: [0x0f, 0x01, 0xca],
    rflags: (before) => before & ~RFLAGS_AC,
  },
  {
    name: "STAC",
    bytes: [0x0f, 0x01, 0xcb],
    rflags: (before) => before | RFLAGS_AC,
  },
];

/** The step for the instruction that `bytes` begin with, or undefined. */
export function findStep(bytes: Uint8Array): Step | undefined {
  return STEPS.find((step) =>
    step.bytes.every((byte, index) => bytes[index] === byte)
  );
}

/**
 * After `KVM_EXIT_INTERNAL_ERROR`/emulation: carries the instruction out and
 * returns its name, or undefined when it is none that Vireo knows.
 */
export function stepPast(vcpu: Vcpu): string | undefined {
  const step = findStep(vcpu.run.instructionBytes);
  if (step === undefined) return undefined;
  const registers = vcpu.getRegs();
  registers.rip += BigInt(step.bytes.length);
  if (step.rflags) registers.rflags = step.rflags(registers.rflags);
  vcpu.setRegs(registers);
  // #BP is a trap: the saved RIP is the next instruction's.
  if (step.exception !== undefined) vcpu.injectException(step.exception);
  return step.name;
}
