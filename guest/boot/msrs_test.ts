import assert from "node:assert/strict";
import { Kvm } from "../../ffi/kvm/kvm.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { Msr } from "../../ffi/kvm/msr.ts";
import { bootMsrs } from "./msrs.ts";

Deno.test("boot MSRs: each once, memory write-back with MTRRs on", () => {
  const msrs = bootMsrs(() => 0n);
  const indices = msrs.map(([index]) => index);
  assert.equal(new Set(indices).size, indices.length);
  const values = new Map(msrs);
  assert.equal(values.get(Msr.MTRR_DEF_TYPE), 0x806n);
  assert.equal(values.get(Msr.MISC_ENABLE), 1n);
  assert.equal(values.get(Msr.LSTAR), 0n);
  const BTS_UNAVAILABLE = 1n << 11n;
  const kept = new Map(bootMsrs(() => BTS_UNAVAILABLE)).get(Msr.MISC_ENABLE);
  assert.equal(kept, BTS_UNAVAILABLE | 1n);
});

Deno.test(needing([KVM], {
  name: "boot MSRs: KVM takes them all",
  fn() {
    using kvm = new Kvm();
    using vm = kvm.createVm();
    using vcpu = vm.createVcpu(0);
    vcpu.setCpuid2(kvm.getSupportedCpuid());
    const msrs = bootMsrs((index) => vcpu.getMsr(index));
    vcpu.setMsrs(msrs);
    for (const [index, value] of msrs) {
      if (index !== Msr.TSC) assert.equal(vcpu.getMsr(index), value);
    }
  },
}));
