/**
 * Features of the host that a guest doesn't get, though KVM offers them. Bits
 * are those of the Intel SDM, volume 2, CPUID, and of AMD's manual, volume 3,
 * appendix E.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import type { CpuidEntry } from "../../ffi/kvm/cpuid2.ts";

/** What of this a guest is to have. */
export interface FeatureOptions {
  /** Guests of its own, by VMX or SVM; default false. */
  nested?: boolean;
  /** Performance counters; default false. */
  pmu?: boolean;
}

/** Bits of one register, or all that is in a leaf. */
type Feature =
  | { leaf: number; whole: true }
  | { leaf: number; subleaf?: number; register: Register; bits: number };

type Register = "eax" | "ebx" | "ecx" | "edx";
const REGISTERS: readonly Register[] = ["eax", "ebx", "ecx", "edx"];

const Leaf = { FEATURES: 1, STRUCTURED: 7, AMD_FEATURES: 0x8000_0001 } as const;

/** What a guest of ours can't use, or is not to. */
const NEVER: readonly Feature[] = [
  // WAITPKG: UMWAIT and TPAUSE keep a core without an exit.
  { leaf: Leaf.STRUCTURED, register: "ecx", bits: 1 << 5 },
  // SGX, SGX_LC: enclaves need memory of their own kind.
  { leaf: Leaf.STRUCTURED, register: "ebx", bits: 1 << 2 },
  { leaf: Leaf.STRUCTURED, register: "ecx", bits: 1 << 30 },
  { leaf: 0x12, whole: true },
  // SME and SEV: no memory of ours is encrypted.
  { leaf: 0x8000_001f, whole: true },
];

/** What KVM emulates on AMD too, where no CPU has it. */
const NOT_ON_AMD: readonly Feature[] = [
  // ARCH_CAPABILITIES: an MSR of Intel's.
  { leaf: Leaf.STRUCTURED, register: "edx", bits: 1 << 29 },
];

/** What `nested` gives: VMX; SVM and its leaf. */
const NESTED: readonly Feature[] = [
  { leaf: Leaf.FEATURES, register: "ecx", bits: 1 << 5 },
  { leaf: Leaf.AMD_FEATURES, register: "ecx", bits: 1 << 2 },
  { leaf: 0x8000_000a, whole: true },
];

/** What `pmu` gives. */
const PMU: readonly Feature[] = [
  // DTES64, DS_CPL, PDCM; DS.
  { leaf: Leaf.FEATURES, register: "ecx", bits: 1 << 2 | 1 << 4 | 1 << 15 },
  { leaf: Leaf.FEATURES, register: "edx", bits: 1 << 21 },
  // ARCH_LBR; ARCH_PERFMON_EXT.
  { leaf: Leaf.STRUCTURED, register: "edx", bits: 1 << 19 },
  { leaf: Leaf.STRUCTURED, subleaf: 1, register: "eax", bits: 1 << 8 },
  // Counters; last branch records; more counters.
  { leaf: 0xa, whole: true },
  { leaf: 0x1c, whole: true },
  { leaf: 0x23, whole: true },
  // IBS; PERFCTR_CORE, PERFCTR_NB; PERFTSC, PERFCTR_LLC.
  { leaf: Leaf.AMD_FEATURES, register: "ecx", bits: 1 << 10 },
  { leaf: Leaf.AMD_FEATURES, register: "ecx", bits: 1 << 23 | 1 << 24 },
  { leaf: Leaf.AMD_FEATURES, register: "ecx", bits: 1 << 27 | 1 << 28 },
  // IBS; PerfMonV2.
  { leaf: 0x8000_001b, whole: true },
  { leaf: 0x8000_0022, whole: true },
];

/**
 * Takes from `entries` what the guest is not to have.
 *
 * @throws {VireoError} it is to have what this KVM doesn't offer
 */
export function hideFeatures(
  entries: readonly CpuidEntry[],
  amd: boolean,
  { nested = false, pmu = false }: FeatureOptions,
): void {
  hide(entries, NEVER);
  if (amd) hide(entries, NOT_ON_AMD);
  if (!hide(entries, NESTED, nested) && nested) {
    throw new VireoError(
      "machine-config.nested: this host's KVM offers no nested guests; load " +
        "kvm_intel or kvm_amd with nested=1, or leave the key out",
    );
  }
  if (!hide(entries, PMU, pmu) && pmu) {
    throw new VireoError(
      "machine-config.pmu: this host's KVM offers no performance counters; " +
        "leave the key out",
    );
  }
}

/** Hides the features, unless they are to be kept; false when none is there. */
function hide(
  entries: readonly CpuidEntry[],
  features: readonly Feature[],
  kept = false,
): boolean {
  let found = false;
  for (const feature of features) {
    for (const entry of entries) {
      if (entry.leaf !== feature.leaf) continue;
      const whole = "whole" in feature;
      if (!whole && entry.subleaf !== (feature.subleaf ?? 0)) continue;
      for (const register of whole ? REGISTERS : [feature.register]) {
        const bits = whole ? ~0 : feature.bits;
        if (entry[register] & bits) found = true;
        if (!kept) entry[register] = (entry[register] & ~bits) >>> 0;
      }
    }
  }
  return found;
}
