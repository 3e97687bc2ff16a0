/** What a guest gets of an Intel and an AMD host, bit by bit. */
import assert from "node:assert/strict";
import { RECORDED } from "../testing/cpuid_tables.ts";
import {
  type CpuidEntry,
  decodeCpuid,
  encodeCpuid,
} from "../../ffi/kvm/cpuid2.ts";
import { type CpuidOptions, vcpuCpuid } from "./cpuid.ts";

const TSC_KHZ = 2_000_000;

/** What differs from the host: `leaf.subleaf register: gone, come`. */
function changes(
  host: "intel" | "amd",
  options: Partial<CpuidOptions> = {},
): string[] {
  const supported = RECORDED[host];
  const before = decodeCpuid(supported);
  const after = decodeCpuid(
    vcpuCpuid(supported, { cpu: 0, cpus: 1, ...options }),
  );
  const lines: string[] = [];
  for (const entry of after) {
    if (TOPOLOGY.includes(entry.leaf)) continue;
    const old = before.find((other) =>
      other.leaf === entry.leaf && other.subleaf === entry.subleaf
    );
    for (const register of ["eax", "ebx", "ecx", "edx"] as const) {
      const [from, to] = [old?.[register] ?? 0, entry[register]];
      const mask = TOPOLOGY_BITS[`${hex(entry.leaf)} ${register}`] ?? 0;
      const gone = (from & ~to & ~mask) >>> 0;
      const come = (to & ~from & ~mask) >>> 0;
      if (gone === 0 && come === 0) continue;
      const name = `${hex(entry.leaf)}.${entry.subleaf} ${register}`;
      lines.push(`${name}: -${hex(gone)} +${hex(come)}`);
    }
  }
  return lines;
}

/** Leaves of topology alone: `cpuid_test.ts` is about these. */
const TOPOLOGY = [4, 0xb, 0x1f, 0x8000_001d, 0x8000_001e];
/** And registers that are partly so. */
const TOPOLOGY_BITS: Record<string, number> = {
  "1 ebx": 0xffff_0000,
  "1 edx": 1 << 28,
  "80000001 ecx": 1 << 1,
  "80000008 ecx": 0xffff,
};

function hex(value: number): string {
  return value.toString(16);
}

/** The lines of `from` that `others` doesn't have. */
function without(from: string[], others: string[]): string[] {
  return from.filter((line) => !others.includes(line));
}

const HYPERVISOR = "1.0 ecx";
const NEVER_INTEL = [
  "7.0 ebx: -4 +0", // SGX
  "7.0 ecx: -40000020 +0", // SGX_LC, WAITPKG
  "12.0 eax: -3 +0",
  "12.0 ebx: -1 +0",
  "12.0 edx: -381f +0",
  "12.1 eax: -b6 +0",
  "12.1 ecx: -602e7 +0",
];
const PMU_INTEL = [
  "1.0 edx: -200000 +0", // DS
  "7.0 edx: -80000 +0", // ARCH_LBR
  "7.1 eax: -100 +0", // ARCH_PERFMON_EXT
  "a.0 eax: -7300802 +0",
  "a.0 edx: -8603 +0",
  "1c.0 eax: -4000000b +0",
  "1c.0 ebx: -7 +0",
  "1c.0 ecx: -7 +0",
];

Deno.test("CPUID of an Intel host: what goes is WAITPKG, SGX, VMX and the PMU, and nothing else", () => {
  assert.deepEqual(
    changes("intel").sort(),
    [
      `${HYPERVISOR}: -8024 +0`, // PDCM, VMX, DTES64
      ...NEVER_INTEL,
      ...PMU_INTEL,
    ].sort(),
  );
});

Deno.test("CPUID of an Intel host, nested: VMX stays", () => {
  assert.deepEqual(
    changes("intel", { nested: true }).sort(),
    [
      `${HYPERVISOR}: -8004 +0`,
      ...NEVER_INTEL,
      ...PMU_INTEL,
    ].sort(),
  );
});

Deno.test("CPUID of an Intel host, pmu: all that KVM offers of it stays", () => {
  assert.deepEqual(
    changes("intel", { pmu: true }).sort(),
    [
      `${HYPERVISOR}: -20 +0`,
      ...NEVER_INTEL,
    ].sort(),
  );
});

const NEVER_AMD = [
  "7.0 edx: -20000000 +0", // ARCH_CAPABILITIES
  "8000001f.0 eax: -101fd3b +0", // SME, SEV
  "8000001f.0 ebx: -4173 +0",
  "8000001f.0 ecx: -3ee +0",
  "8000001f.0 edx: -6 +0",
];
const SVM_LEAF = [
  "8000000a.0 eax: -1 +0",
  "8000000a.0 ebx: -8000 +0",
  "8000000a.0 edx: -119b9cff +0",
];
const PERFMON_V2 = ["80000022.0 eax: -1 +0", "80000022.0 ebx: -6 +0"];

Deno.test("CPUID of an AMD host: what goes is ARCH_CAPABILITIES, SVM, SEV and the PMU, and nothing else", () => {
  assert.deepEqual(
    changes("amd").sort(),
    [
      "80000001.0 ecx: -800004 +0", // PERFCTR_CORE, SVM
      ...NEVER_AMD,
      ...SVM_LEAF,
      ...PERFMON_V2,
    ].sort(),
  );
});

Deno.test("CPUID of an AMD host, nested: SVM stays with its leaf", () => {
  assert.deepEqual(
    changes("amd", { nested: true }).sort(),
    [
      "80000001.0 ecx: -800000 +0",
      ...NEVER_AMD,
      ...PERFMON_V2,
    ].sort(),
  );
});

Deno.test("CPUID of an AMD host, pmu: all that KVM offers of it stays", () => {
  assert.deepEqual(
    changes("amd", { pmu: true }).sort(),
    [
      "80000001.0 ecx: -4 +0",
      ...NEVER_AMD,
      ...SVM_LEAF,
    ].sort(),
  );
});

Deno.test("CPUID: ARCH_CAPABILITIES stays on Intel, which has it", () => {
  const after = decodeCpuid(vcpuCpuid(RECORDED.intel, { cpu: 0, cpus: 1 }));
  const seven = after.find(({ leaf, subleaf }) => leaf === 7 && subleaf === 0);
  assert.ok(seven!.edx & 1 << 29);
});

Deno.test("CPUID leaf 0x40000010: the frequencies of TSC and APIC timer, where the TSC's never changes", () => {
  for (const host of ["intel", "amd"] as const) {
    const told = changes(host, { tscKhz: TSC_KHZ });
    assert.deepEqual(without(told, changes(host)), [
      "40000000.0 eax: -1 +10",
      `40000010.0 eax: -0 +${hex(TSC_KHZ)}`,
      `40000010.0 ebx: -0 +${hex(1_000_000)}`,
    ]);
    const leaf = decodeCpuid(
      vcpuCpuid(RECORDED[host], { cpu: 0, cpus: 1, tscKhz: TSC_KHZ }),
    ).find(({ leaf }) => leaf === 0x4000_0000);
    assert.equal(leaf!.eax, 0x4000_0010, "the last leaf that there is");
    const varying = changed(host, 0x8000_0007, { edx: 0 });
    const other = vcpuCpuid(varying, { cpu: 0, cpus: 1, tscKhz: TSC_KHZ });
    const told2 = decodeCpuid(other).some(({ leaf }) => leaf === 0x4000_0010);
    assert.equal(told2, false);
  }
});

Deno.test("CPUID: what a host's KVM doesn't offer can't be asked for", () => {
  const options = { cpu: 0, cpus: 1 };
  const noVmx = changed("intel", 1, { ecx: 0 });
  assert.throws(
    () => vcpuCpuid(noVmx, { ...options, nested: true }),
    /^VireoError: machine-config.nested: .* no nested guests; load kvm_intel/,
  );
  const noCounters = encodeCpuid(
    decodeCpuid(RECORDED.amd).filter(({ leaf }) => leaf < 0x8000_0000),
  );
  assert.throws(
    () => vcpuCpuid(noCounters, { ...options, pmu: true }),
    /^VireoError: machine-config.pmu: .* no performance counters; leave/,
  );
});

/** A host's table with another answer of one leaf. */
function changed(
  host: "intel" | "amd",
  leaf: number,
  answer: Partial<CpuidEntry>,
): Uint8Array<ArrayBuffer> {
  return encodeCpuid(
    decodeCpuid(RECORDED[host]).map((entry) =>
      entry.leaf === leaf ? { ...entry, ...answer } : entry
    ),
  );
}
