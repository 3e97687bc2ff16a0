/**
 * Changes to what a guest sees of its CPU: bits of CPUID and of MSRs, in the
 * form of Firecracker's custom CPU templates (`cpu-config`).
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import type { Extensible } from "../../ffi/kvm/capabilities.ts";
import type { MsrValue } from "../../ffi/kvm/vcpu.ts";
import type { CpuidEntry } from "../../ffi/kvm/cpuid2.ts";

/** Registers of a CPUID leaf. */
export const CPUID_REGISTERS: readonly CpuidRegister[] = [
  "eax",
  "ebx",
  "ecx",
  "edx",
];

/** A register of a CPUID leaf. */
export type CpuidRegister = "eax" | "ebx" | "ecx" | "edx";

/** Bits of a register: `0b`, then `0`, `1` and `x`, which stays; `_` is none. */
export type Bitmap = string;

/** A leaf of CPUID. */
export interface CpuidModifier {
  /** EAX of the question: `0x1`. */
  leaf: string;
  /** ECX of the question. */
  subleaf: string;
  /** `KVM_CPUID_FLAG_*`, which KVM knows itself. */
  flags: number;
  /** Its registers. */
  modifiers: {
    /** Which. */
    register: CpuidRegister;
    /** What of it is otherwise. */
    bitmap: Bitmap;
  }[];
}

/** A model-specific register. */
export interface MsrModifier {
  /** Its number: `0x10a`. */
  addr: string;
  /** What of it is otherwise. */
  bitmap: Bitmap;
}

/** A CPU to look like. */
export interface CpuConfig {
  /** Numbers of `KVM_CAP_*` that there have to be; with `!`, that needn't be. */
  kvm_capabilities?: string[];
  /** Changes to CPUID. */
  cpuid_modifiers?: CpuidModifier[];
  /** Changes to MSRs, at the start. */
  msr_modifiers?: MsrModifier[];
}

/** What is kept of a register, and what is set in it. */
interface Change {
  keep: bigint;
  set: bigint;
}

/** Whether `text` is a bitmap of at most `bits`. */
export function isBitmap(text: string, bits: number): boolean {
  if (!/^0b[01x_]+$/.test(text)) return false;
  const { length } = text.slice(2).replaceAll("_", "");
  return length > 0 && length <= bits;
}

/** Whether `text` is a number of 32 bits: `0x1f` or `31`. */
export function isNumber(text: string): boolean {
  return /^(0x[\da-fA-F]+|\d+)$/.test(text) && Number(text) < 2 ** 32;
}

function changeOf(bitmap: Bitmap): Change {
  const digits = [...bitmap.slice(2).replaceAll("_", "")];
  const those = (wanted: string) =>
    BigInt(`0b${digits.map((digit) => digit === wanted ? 1 : 0).join("")}`);
  const set = those("1");
  return { keep: ~(set | those("0")), set };
}

/**
 * Changes the answers of CPUID.
 *
 * @throws {VireoError} KVM has no such leaf
 */
export function changeCpuid(
  entries: readonly CpuidEntry[],
  { cpuid_modifiers = [] }: CpuConfig,
): void {
  for (const { leaf, subleaf, modifiers } of cpuid_modifiers) {
    const entry = entries.find((one) =>
      one.leaf === Number(leaf) && one.subleaf === Number(subleaf)
    );
    if (entry === undefined) {
      throw new VireoError(
        "Template changes a CPUID entry not supported by KVM: Leaf: " +
          `${hex(leaf)}, Subleaf: ${hex(subleaf)}`,
      );
    }
    for (const { register, bitmap } of modifiers) {
      const { keep, set } = changeOf(bitmap);
      const value = BigInt(entry[register]) & keep | set;
      entry[register] = Number(BigInt.asUintN(32, value));
    }
  }
}

/**
 * The MSRs that a vCPU begins with.
 *
 * @param read an MSR of the vCPU; undefined: KVM has none
 * @throws {VireoError} KVM has no such MSR
 */
export function changedMsrs(
  { msr_modifiers = [] }: CpuConfig,
  read: (index: number) => bigint | undefined,
): MsrValue[] {
  return msr_modifiers.map(({ addr, bitmap }) => {
    const value = read(Number(addr));
    if (value === undefined) {
      throw new VireoError(
        "Template changes an MSR entry not supported by KVM: Register " +
          `Address: ${hex(addr)}`,
      );
    }
    const { keep, set } = changeOf(bitmap);
    return [Number(addr), BigInt.asUintN(64, value & keep | set)];
  });
}

/**
 * Checks what KVM has to have.
 *
 * @throws {VireoError} it has not
 */
export function checkCapabilities(
  { kvm_capabilities = [] }: CpuConfig,
  kvm: Extensible,
): void {
  const wanted = kvm_capabilities.filter((word) => !word.startsWith("!"));
  const missing = wanted.filter((word) => kvm.checkExtension(+word) === 0);
  if (missing.length === 0) return;
  throw new VireoError(
    `Required KVM capability not available: ${missing.join(", ")}`,
  );
}

function hex(text: string): string {
  return `0x${Number(text).toString(16)}`;
}
