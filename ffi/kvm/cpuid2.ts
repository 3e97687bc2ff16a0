/**
 * `struct kvm_cpuid2`, in which KVM says and is told what CPUID answers.
 *
 * @module
 */

/** `struct kvm_cpuid2` and its `struct kvm_cpuid_entry2` (KVM API §4.20). */
const Cpuid2 = { NENT: 0, ENTRIES: 8 } as const;
const Cpuid2Entry = {
  FUNCTION: 0,
  INDEX: 4,
  FLAGS: 8,
  EAX: 12,
  EBX: 16,
  ECX: 20,
  EDX: 24,
  SIZE: 40,
} as const;

/** One leaf, or one subleaf of one. */
export interface CpuidEntry {
  /** EAX of the question. */
  leaf: number;
  /** ECX of the question. */
  subleaf: number;
  /** `KVM_CPUID_FLAG_*`. */
  flags: number;
  /** Answer. */
  eax: number;
  /** Answer. */
  ebx: number;
  /** Answer. */
  ecx: number;
  /** Answer. */
  edx: number;
}

/** Reads a `struct kvm_cpuid2`. */
export function decodeCpuid(cpuid: Uint8Array): CpuidEntry[] {
  const view = new DataView(cpuid.buffer, cpuid.byteOffset, cpuid.byteLength);
  const count = view.getUint32(Cpuid2.NENT, true);
  return Array.from({ length: count }, (_, i) => {
    const at = Cpuid2.ENTRIES + i * Cpuid2Entry.SIZE;
    const u32 = (offset: number) => view.getUint32(at + offset, true);
    return {
      leaf: u32(Cpuid2Entry.FUNCTION),
      subleaf: u32(Cpuid2Entry.INDEX),
      flags: u32(Cpuid2Entry.FLAGS),
      eax: u32(Cpuid2Entry.EAX),
      ebx: u32(Cpuid2Entry.EBX),
      ecx: u32(Cpuid2Entry.ECX),
      edx: u32(Cpuid2Entry.EDX),
    };
  });
}

/** Writes a `struct kvm_cpuid2`. */
export function encodeCpuid(
  entries: readonly CpuidEntry[],
): Uint8Array<ArrayBuffer> {
  const cpuid = new Uint8Array(
    Cpuid2.ENTRIES + entries.length * Cpuid2Entry.SIZE,
  );
  const view = new DataView(cpuid.buffer);
  view.setUint32(Cpuid2.NENT, entries.length, true);
  entries.forEach((entry, i) => {
    const at = Cpuid2.ENTRIES + i * Cpuid2Entry.SIZE;
    const u32 = (offset: number, value: number) =>
      view.setUint32(at + offset, value, true);
    u32(Cpuid2Entry.FUNCTION, entry.leaf);
    u32(Cpuid2Entry.INDEX, entry.subleaf);
    u32(Cpuid2Entry.FLAGS, entry.flags);
    u32(Cpuid2Entry.EAX, entry.eax);
    u32(Cpuid2Entry.EBX, entry.ebx);
    u32(Cpuid2Entry.ECX, entry.ecx);
    u32(Cpuid2Entry.EDX, entry.edx);
  });
  return cpuid;
}
