/**
 * What CPUID tells a vCPU: what KVM supports on this host, with the topology
 * of the guest in place of the host's, and with the user's changes. Leaves are
 * those of the Intel SDM, volume 2, CPUID, and of AMD's manual, volume 3,
 * appendix E.
 *
 * @module
 */
import {
  type CpuidEntry,
  decodeCpuid,
  encodeCpuid,
} from "../../ffi/kvm/cpuid2.ts";
import { changeCpuid, type CpuConfig } from "./cpu_template.ts";
import { type FeatureOptions, hideFeatures } from "./cpuid_features.ts";

/** `KVM_CPUID_FLAG_SIGNIFCANT_INDEX`: the leaf has subleaves by ECX. */
const SIGNIFICANT_INDEX = 1;

/** Which vCPU of how many, and what to change beyond that. */
export interface CpuidOptions extends FeatureOptions {
  /** This vCPU's index, which is its APIC id. */
  cpu: number;
  /** All vCPUs: the threads of one package. */
  cpus: number;
  /** Threads per core, 1 (the default) or 2; `cpus` is a multiple of it. */
  threads?: number;
  /**
   * The in-kernel local APIC has a TSC deadline timer, default false:
   * `KVM_GET_SUPPORTED_CPUID` leaves it to us to say so (KVM API §4.46).
   */
  tscDeadline?: boolean;
  /** What else is to be otherwise. */
  cpuConfig?: CpuConfig | undefined;
  /** The TSC's frequency in kHz, which the guest is told; default 0: not. */
  tscKhz?: number;
}

/** Leaves that aren't passed on as they are. */
const Leaf = {
  VENDOR: 0,
  FEATURES: 1,
  CACHES: 4,
  TOPOLOGY: 0xb,
  TOPOLOGY_V2: 0x1f,
  HYPERVISOR: 0x4000_0000,
  FREQUENCIES: 0x4000_0010,
  AMD_FEATURES: 0x8000_0001,
  POWER: 0x8000_0007,
  AMD_SIZES: 0x8000_0008,
  AMD_CACHES: 0x8000_001d,
  AMD_TOPOLOGY: 0x8000_001e,
} as const;

/** Single bits, by leaf and register. */
const Bit = {
  /** Leaf 1 ECX. */
  TSC_DEADLINE: 1 << 24,
  /** Leaf 1 ECX: there is a hypervisor, see leaf 0x40000000. */
  HYPERVISOR: 1 << 31,
  /** Leaf 1 EDX: the package has several logical processors. */
  HTT: 1 << 28,
  /** Leaf 0x80000001 ECX: those are cores, not threads. */
  CMP_LEGACY: 1 << 1,
  /** Leaf 0x80000007 EDX: the TSC's frequency never changes. */
  INVARIANT_TSC: 1 << 8,
} as const;

/** The frequency of KVM's local APIC timers, before they divide it. */
const APIC_KHZ = 1_000_000;

/** EBX of leaf 0 for AMD ("Auth") and for Hygon ("Hygo"). */
const AMD_VENDORS = [0x6874_7541, 0x6f67_7948];

/** Level types of leaf 0xB, ECX bits 15 to 8. */
const Level = { THREAD: 1, CORE: 2 } as const;

/** CLFLUSH line size in units of 8 bytes. */
const CLFLUSH_QUADWORDS = 8;

/** From this cache level on, all cores share; below, each core has its own. */
const SHARED_CACHE_LEVEL = 3;

/**
 * The CPUID of one vCPU.
 *
 * @param supported what `KVM_GET_SUPPORTED_CPUID` gave; it stays unchanged
 * @returns a `struct kvm_cpuid2` for {@linkcode Vcpu.setCpuid2}
 */
export function vcpuCpuid(
  supported: Uint8Array,
  options: CpuidOptions,
): Uint8Array<ArrayBuffer> {
  const all = decodeCpuid(supported);
  changeCpuid(all, options.cpuConfig ?? {});
  const amd = all.some(({ leaf, ebx }) =>
    leaf === Leaf.VENDOR && AMD_VENDORS.includes(ebx)
  );
  const topologies = [Leaf.TOPOLOGY, Leaf.TOPOLOGY_V2].filter((topology) =>
    all.some(({ leaf }) => leaf === topology)
  );
  const entries = all.filter(({ leaf }) =>
    leaf !== Leaf.TOPOLOGY && leaf !== Leaf.TOPOLOGY_V2
  );
  for (const leaf of topologies) entries.push(...topology(leaf, options));
  for (const entry of entries) adapt(entry, options, amd);
  hideFeatures(entries, amd, options);
  tellFrequencies(entries, options);
  return encodeCpuid(entries);
}

/** Puts the guest's topology into one entry. */
function adapt(entry: CpuidEntry, options: CpuidOptions, amd: boolean): void {
  const { cpu, cpus, threads = 1, tscDeadline } = options;
  switch (entry.leaf) {
    case Leaf.FEATURES:
      entry.ebx = setBits(entry.ebx, 31, 24, cpu);
      entry.ebx = setBits(entry.ebx, 23, 16, cpus);
      entry.ebx = setBits(entry.ebx, 15, 8, CLFLUSH_QUADWORDS);
      entry.ecx = setFlag(entry.ecx, Bit.HYPERVISOR, true);
      if (tscDeadline) {
        entry.ecx = setFlag(entry.ecx, Bit.TSC_DEADLINE, true);
      }
      entry.edx = setFlag(entry.edx, Bit.HTT, cpus > 1);
      break;
    case Leaf.CACHES:
      // Subleaves after the last cache stay empty.
      if (cacheType(entry) === 0) break;
      entry.eax = setBits(entry.eax, 31, 26, Math.min(cpus / threads, 64) - 1);
      entry.eax = setBits(entry.eax, 25, 14, sharers(entry, options) - 1);
      break;
    case Leaf.AMD_FEATURES:
      if (amd) entry.ecx = setFlag(entry.ecx, Bit.CMP_LEGACY, cpus > 1);
      break;
    case Leaf.AMD_SIZES:
      // Reserved on Intel.
      if (!amd) break;
      entry.ecx = setBits(entry.ecx, 15, 12, bitsFor(cpus));
      entry.ecx = setBits(entry.ecx, 7, 0, cpus - 1);
      break;
    case Leaf.AMD_CACHES:
      if (cacheType(entry) === 0) break;
      entry.eax = setBits(entry.eax, 25, 14, sharers(entry, options) - 1);
      break;
    case Leaf.AMD_TOPOLOGY:
      // EBX: threads per core - 1, core id; ECX: node 0 of one.
      entry.eax = cpu;
      entry.ebx = threads - 1 << 8 | Math.floor(cpu / threads);
      entry.ecx = 0;
      break;
  }
}

/**
 * Leaf 0xB, or 0x1F, which overrides it: a level of one core's threads, and one
 * of all. No other level of 0x1F is needed, so both say the same.
 */
function topology(
  leaf: number,
  { cpu, cpus, threads = 1 }: CpuidOptions,
): CpuidEntry[] {
  const level = (
    subleaf: number,
    type: number,
    shift: number,
    count: number,
  ): CpuidEntry => ({
    leaf,
    subleaf,
    flags: SIGNIFICANT_INDEX,
    eax: shift,
    ebx: count,
    ecx: subleaf | type << 8,
    edx: cpu,
  });
  return [
    level(0, Level.THREAD, bitsFor(threads), threads),
    level(1, Level.CORE, bitsFor(cpus), cpus),
    level(2, 0, 0, 0),
  ];
}

/**
 * Leaf 0x40000010, which hypervisors agree on (Linux, "Leaf 0x40000010, Timing
 * Information"): the frequencies of TSC and local APIC timer in kHz. A TSC that
 * changes its own has none.
 */
function tellFrequencies(
  entries: CpuidEntry[],
  { tscKhz = 0 }: CpuidOptions,
): void {
  const hypervisor = entries.find(({ leaf }) => leaf === Leaf.HYPERVISOR);
  const invariant = entries.some(({ leaf, edx }) =>
    leaf === Leaf.POWER && edx & Bit.INVARIANT_TSC
  );
  if (tscKhz === 0 || !hypervisor || !invariant) return;
  hypervisor.eax = Math.max(hypervisor.eax, Leaf.FREQUENCIES);
  const none = { subleaf: 0, flags: 0, ecx: 0, edx: 0 };
  const leaf = Leaf.FREQUENCIES;
  entries.push({ ...none, leaf, eax: tscKhz, ebx: APIC_KHZ });
}

/** Leaves 4 and 0x8000001D: EAX bits 4 to 0; 0 is no cache. */
function cacheType({ eax }: CpuidEntry): number {
  return eax & 0x1f;
}

/** How many logical processors share this cache; EAX bits 7 to 5: level. */
function sharers(
  { eax }: CpuidEntry,
  { cpus, threads = 1 }: CpuidOptions,
): number {
  const level = eax >>> 5 & 0x7;
  return level >= SHARED_CACHE_LEVEL ? cpus : threads;
}

/** Bits that an APIC id below `count` needs. */
function bitsFor(count: number): number {
  return 32 - Math.clz32(count - 1);
}

function setBits(
  word: number,
  high: number,
  low: number,
  value: number,
): number {
  const mask = 2 ** (high - low + 1) - 1;
  return (word & ~(mask << low) | (value & mask) << low) >>> 0;
}

function setFlag(word: number, bit: number, on: boolean): number {
  return (on ? word | bit : word & ~bit) >>> 0;
}
