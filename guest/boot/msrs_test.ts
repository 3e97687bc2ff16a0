import assert from "node:assert/strict";
import { Kvm } from "../../ffi/kvm/kvm.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { BOOT_MSRS, Msr } from "./msrs.ts";

Deno.test("boot MSRs: each once, memory write-back with MTRRs on", () => {
  const indices = BOOT_MSRS.map(([index]) => index);
  assert.equal(new Set(indices).size, indices.length);
  const values = new Map(BOOT_MSRS);
  assert.equal(values.get(Msr.MTRR_DEF_TYPE), 0x806n);
  assert.equal(values.get(Msr.MISC_ENABLE), 1n);
  assert.equal(values.get(Msr.LSTAR), 0n);
});

Deno.test(needing([KVM], {
  name: "boot MSRs: KVM takes them all",
  fn() {
    using kvm = new Kvm();
    using vm = kvm.createVm();
    using vcpu = vm.createVcpu(0);
    vcpu.setCpuid2(kvm.getSupportedCpuid());
    assert.equal(vcpu.setMsrs(BOOT_MSRS), BOOT_MSRS.length);
  },
}));
