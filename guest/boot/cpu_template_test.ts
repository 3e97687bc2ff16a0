/** Custom CPU templates: bits of CPUID and MSRs, and what KVM has not. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { Kvm } from "../../ffi/kvm/kvm.ts";
import {
  changeCpuid,
  changedMsrs,
  checkCapabilities,
  type CpuConfig,
  isBitmap,
  isNumber,
} from "./cpu_template.ts";
import { decodeCpuid } from "../../ffi/kvm/cpuid2.ts";
import { vcpuCpuid } from "./cpuid.ts";

/** Leaf 1 with a change of ECX. */
function ofLeaf(leaf: string, bitmap: string, subleaf = "0x0"): CpuConfig {
  const modifiers = [{ register: "ecx" as const, bitmap }];
  return { cpuid_modifiers: [{ leaf, subleaf, flags: 0, modifiers }] };
}

function entries() {
  const none = { subleaf: 0, flags: 0, eax: 1, ebx: 2, edx: 3 };
  return [{ ...none, leaf: 1, ecx: 0x8000_00f0 }];
}

Deno.test("CPU template: bits are set, cleared, and left; a short bitmap is of the lowest", () => {
  const [entry] = entries();
  changeCpuid([entry!], ofLeaf("0x1", "0b1x_0x01"));
  assert.deepEqual(entry, { ...entries()[0], ecx: 0x8000_00f1 });
  const [whole] = entries();
  changeCpuid([whole!], ofLeaf("1", `0b${"1".repeat(32)}`));
  assert.equal(whole!.ecx, 0xffff_ffff);
});

Deno.test("CPU template: an MSR begins with the bits that it is given, to the 64th", () => {
  const change = (bitmap: string) =>
    changedMsrs({ msr_modifiers: [{ addr: "0x10a", bitmap }] }, () => 6n);
  assert.deepEqual(change("0bxx0"), [[0x10a, 6n]]);
  assert.deepEqual(change("0b0x1"), [[0x10a, 3n]]);
  const high = `0b1${"x".repeat(63)}`;
  assert.deepEqual(change(high), [[0x10a, 1n << 63n | 6n]]);
});

Deno.test("CPU template: what KVM has not is refused by its number", () => {
  assert.throws(
    () => changeCpuid(entries(), ofLeaf("0x77", "0b1", "0x2")),
    /CPUID entry not supported by KVM: Leaf: 0x77, Subleaf: 0x2$/,
  );
  const msr_modifiers = [{ addr: "0xabc", bitmap: "0b1" }];
  assert.throws(
    () => changedMsrs({ msr_modifiers }, () => undefined),
    /MSR entry not supported by KVM: Register Address: 0xabc$/,
  );
  const kvm = { checkExtension: (cap: number) => cap === 4 ? 1 : 0 };
  checkCapabilities({ kvm_capabilities: ["4", "!5"] }, kvm);
  assert.throws(
    () => checkCapabilities({ kvm_capabilities: ["4", "5", "!6", "7"] }, kvm),
    /KVM capability not available: 5, 7$/,
  );
});

Deno.test("CPU template: bitmaps and numbers are what they look like", () => {
  for (const text of ["0b1", "0bx_01", `0b${"x".repeat(32)}`]) {
    assert.ok(isBitmap(text, 32), text);
  }
  for (const text of ["", "0b", "0b_", "b1", "0b2", `0b${"x".repeat(33)}`]) {
    assert.ok(!isBitmap(text, 32), text);
  }
  for (const text of ["0x0", "0xffffffff", "4294967295"]) {
    assert.ok(isNumber(text), text);
  }
  for (const text of ["", "0x", "-1", "1e3", "0x100000000", " 1"]) {
    assert.ok(!isNumber(text), text);
  }
});

Deno.test(needing([KVM], {
  name: "CPU template: a vCPU answers CPUID so, beside its own topology",
  fn() {
    using kvm = new Kvm();
    const supported = kvm.getSupportedCpuid();
    const SSE3 = 1;
    const cpuConfig = ofLeaf("0x1", "0bxxx0");
    const options = { cpu: 0, cpus: 1, cpuConfig };
    const told = decodeCpuid(vcpuCpuid(supported, options));
    const before = decodeCpuid(vcpuCpuid(supported, { cpu: 0, cpus: 1 }));
    const ecx = (all: typeof told) => all.find(({ leaf }) => leaf === 1)!.ecx;
    assert.equal(ecx(told), (ecx(before) & ~SSE3) >>> 0);
  },
}));
