import assert from "node:assert/strict";
import {
  type CpuidEntry,
  decodeCpuid,
  encodeCpuid,
} from "../../ffi/kvm/cpuid2.ts";
import { Kvm } from "../../ffi/kvm/kvm.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { type CpuidOptions, vcpuCpuid } from "./cpuid.ts";

const HYPERVISOR = 1 << 31 >>> 0;
const TSC_DEADLINE = 1 << 24;
const HTT = 1 << 28;

function entry(leaf: number, answer: Partial<CpuidEntry> = {}): CpuidEntry {
  const zero = { subleaf: 0, flags: 0, eax: 0, ebx: 0, ecx: 0, edx: 0 };
  return { ...zero, leaf, ...answer };
}

/** Of a host with 8 cores and 16 threads; this thread's APIC id is 5. */
const INTEL = encodeCpuid([
  entry(0, { eax: 0x1f, ebx: 0x756e6547, ecx: 0x6c65746e, edx: 0x49656e69 }),
  entry(1, { eax: 0x906ed, ebx: 0x0510_0800, ecx: 0x7ffa_f3ff, edx: HTT }),
  entry(4, { flags: 1, eax: 0x1c00_4121, ebx: 0x01c0_003f }),
  entry(4, { flags: 1, subleaf: 3, eax: 0x1c03_c163, ebx: 0x03c0_003f }),
  entry(4, { flags: 1, subleaf: 4 }),
  entry(0xa, { eax: 0x0730_0404, edx: 0x603 }),
  entry(0xb, { flags: 1, eax: 1, ebx: 2, ecx: 0x100, edx: 5 }),
  entry(0xb, { flags: 1, subleaf: 1, eax: 4, ebx: 16, ecx: 0x201, edx: 5 }),
  entry(0x1f, { flags: 1, eax: 1, ebx: 2, ecx: 0x100, edx: 5 }),
  entry(0x4000_0000, { eax: 0x4000_0001, ebx: 0x4b4d564b }),
  entry(0x8000_0008, { eax: 0x3027 }),
]);

const AMD = encodeCpuid([
  entry(0, { eax: 0xd, ebx: 0x68747541, ecx: 0x444d4163, edx: 0x69746e65 }),
  entry(1, { ebx: 0x0102_0800 }),
  entry(0x8000_0001, { ecx: 0x0040_0391 }),
  entry(0x8000_0008, { eax: 0x3030, ecx: 0x7001 }),
  entry(0x8000_001d, { flags: 1, eax: 0x4121 }),
  entry(0x8000_001d, { flags: 1, subleaf: 3, eax: 0x4163 }),
  entry(0x8000_001e, { eax: 9, ebx: 0x109, ecx: 0x203 }),
]);

function answers(supported: Uint8Array, options: CpuidOptions) {
  const entries = decodeCpuid(vcpuCpuid(supported, options));
  return (leaf: number, subleaf = 0): CpuidEntry => {
    const found = entries.filter((e) =>
      e.leaf === leaf && e.subleaf === subleaf
    );
    assert.equal(found.length, 1, `leaf 0x${leaf.toString(16)}.${subleaf}`);
    return found[0]!;
  };
}

Deno.test("CPUID: what is not adapted passes through unchanged", () => {
  const before = INTEL.slice();
  const of = answers(INTEL, { cpu: 0, cpus: 1 });
  assert.deepEqual(of(0), decodeCpuid(INTEL)[0]);
  assert.equal(of(1).eax, 0x906ed);
  assert.equal(of(0x4000_0000).ebx, 0x4b4d564b, "KVM's signature");
  assert.equal(of(0x8000_0008).ecx, 0, "reserved on Intel");
  assert.deepEqual(INTEL, before, "the given bytes stay");
});

Deno.test("CPUID leaf 1: APIC id, count, CLFLUSH and the hypervisor bit", () => {
  const one = answers(INTEL, { cpu: 3, cpus: 4 })(1);
  assert.equal(one.ebx, 0x0304_0800);
  assert.equal(one.ecx & HYPERVISOR, HYPERVISOR | 0);
  assert.equal(one.edx & HTT, HTT);
  const alone = answers(INTEL, { cpu: 0, cpus: 1 })(1);
  assert.equal(alone.edx & HTT, 0);
});

Deno.test("CPUID leaf 1: the TSC deadline timer shows when it is said to work", () => {
  const bare = encodeCpuid([entry(1)]);
  assert.equal(answers(bare, { cpu: 0, cpus: 1 })(1).ecx & TSC_DEADLINE, 0);
  const options = { cpu: 0, cpus: 1, tscDeadline: true };
  assert.equal(answers(bare, options)(1).ecx & TSC_DEADLINE, TSC_DEADLINE);
  const kept = answers(INTEL, { cpu: 0, cpus: 1 })(1);
  assert.equal(kept.ecx & TSC_DEADLINE, TSC_DEADLINE);
});

Deno.test("CPUID leaf 4: private caches below level 3, one shared from there", () => {
  const of = answers(INTEL, { cpu: 0, cpus: 4 });
  const shape = ({ eax }: CpuidEntry) => [eax >>> 26, eax >>> 14 & 0xfff];
  assert.deepEqual(shape(of(4, 0)), [3, 0]);
  assert.deepEqual(shape(of(4, 3)), [3, 3]);
  assert.equal(of(4, 4).eax, 0, "no cache, no answer");
});

Deno.test("CPUID leaf 0xB: one thread per core, all cores in one package", () => {
  for (const [cpus, shift] of [[1, 0], [2, 1], [3, 2], [4, 2], [5, 3]]) {
    const of = answers(INTEL, { cpu: 1, cpus: cpus! });
    const thread = of(0xb, 0);
    assert.deepEqual([thread.eax, thread.ebx, thread.ecx], [0, 1, 0x100]);
    const core = of(0xb, 1);
    assert.deepEqual([core.eax, core.ebx, core.ecx], [shift, cpus, 0x201]);
    assert.deepEqual([thread.edx, core.edx], [1, 1], "x2APIC id");
    assert.equal(thread.flags, 1, "the subleaf is significant");
  }
});

Deno.test("CPUID with smt: two threads per core, which share their caches", () => {
  const intel = answers(INTEL, { cpu: 3, cpus: 4, threads: 2 });
  const { eax, ebx } = intel(0xb, 0);
  assert.deepEqual([eax, ebx], [1, 2], "threads of a core");
  const all = intel(0xb, 1);
  assert.deepEqual([all.eax, all.ebx, all.edx], [2, 4, 3]);
  const shape = ({ eax }: CpuidEntry) => [eax >>> 26, eax >>> 14 & 0xfff];
  assert.deepEqual(shape(intel(4, 0)), [1, 1]);
  assert.deepEqual(shape(intel(4, 3)), [1, 3]);
  const amd = answers(AMD, { cpu: 3, cpus: 4, threads: 2 });
  assert.deepEqual(
    [amd(0x8000_001e).eax, amd(0x8000_001e).ebx],
    [3, 0x101],
  );
  assert.equal(amd(0x8000_001d, 0).eax >>> 14 & 0xfff, 1);
});

Deno.test("CPUID leaf 0x1F: says the same as 0xB, where the host has it", () => {
  const of = answers(INTEL, { cpu: 3, cpus: 4, threads: 2 });
  for (const subleaf of [0, 1, 2]) {
    assert.deepEqual(of(0x1f, subleaf), { ...of(0xb, subleaf), leaf: 0x1f });
  }
  const entries = decodeCpuid(vcpuCpuid(AMD, { cpu: 0, cpus: 2 }));
  assert(entries.every(({ leaf }) => leaf !== 0x1f && leaf !== 0xb));
});

Deno.test("CPUID: no leaf 0xB appears on a host without", () => {
  const entries = decodeCpuid(vcpuCpuid(AMD, { cpu: 0, cpus: 2 }));
  assert(entries.every(({ leaf }) => leaf !== 0xb));
});

Deno.test("CPUID: Intel's performance counters are hidden", () => {
  const of = answers(INTEL, { cpu: 0, cpus: 1 });
  const { eax, ebx, ecx, edx } = of(0xa);
  assert.deepEqual([eax, ebx, ecx, edx], [0, 0, 0, 0]);
  assert.equal(of(1).ecx & 1 << 15, 0, "PDCM");
});

Deno.test("CPUID on AMD: core counts, core ids and shared caches are the guest's", () => {
  const of = answers(AMD, { cpu: 2, cpus: 4 });
  assert.equal(of(0x8000_0008).ecx, 0x2003);
  assert.equal(of(0x8000_0001).ecx, 0x0040_0393, "CMP_LEGACY");
  assert.equal(of(0x8000_001d, 0).eax, 0x0121);
  assert.equal(of(0x8000_001d, 3).eax, 0xc163);
  const { eax, ebx, ecx } = of(0x8000_001e);
  assert.deepEqual([eax, ebx, ecx], [2, 2, 0]);
  assert.equal(answers(AMD, { cpu: 0, cpus: 1 })(0x8000_0001).ecx, 0x0040_0391);
});

Deno.test(needing([KVM], {
  name: "CPUID: KVM takes what we make of its own",
  fn() {
    using kvm = new Kvm();
    using vm = kvm.createVm();
    const supported = kvm.getSupportedCpuid();
    for (const cpu of [0, 1]) {
      using vcpu = vm.createVcpu(cpu);
      vcpu.setCpuid2(vcpuCpuid(supported, { cpu, cpus: 2 }));
    }
    const of = answers(supported, { cpu: 1, cpus: 2 });
    const { ebx, ecx, edx } = of(0x4000_0000);
    const signature = new Uint8Array(new Uint32Array([ebx, ecx, edx]).buffer);
    assert.equal(new TextDecoder().decode(signature), "KVMKVMKVM\0\0\0");
  },
}));
