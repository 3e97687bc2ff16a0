/**
 * A VMM of one's own: how often a guest asks for memory that isn't there.
 *
 *     deno run --allow-ffi examples/lab/mmio.ts
 */
import { Exit, Kvm, Mapping } from "../../mod.ts";

const CODE = [
  ...[0xbb, 0x00, 0x90], //       mov bx, 0x9000
  ...[0xb9, 10, 0], //            mov cx, 10
  ...[0x88, 0x0f, 0x8a, 0x07], // mov [bx], cl; mov al, [bx]
  ...[0xe2, 0xfa, 0xf4], //       loop; hlt
];
using kvm = new Kvm();
using vm = kvm.createVm();
using ram = new Mapping(4096);
new Uint8Array(ram.buffer).set(CODE);
vm.setUserMemoryRegion(0, 0x1000, ram.size, ram.address);
using vcpu = vm.createVcpu(0);
const sregs = vcpu.getSregs();
for (const name of ["cs", "ds"] as const) {
  sregs.setSegment(name, { ...sregs.segment(name), base: 0n, selector: 0 });
}
vcpu.setSregs(sregs);
vcpu.setRegs({ rip: 0x1000n, rflags: 2n });
const count = { reads: 0, writes: 0 };
while (vcpu.enter() === 0 && vcpu.run.exitReason === Exit.MMIO) {
  count[vcpu.run.mmioIsWrite ? "writes" : "reads"]++;
}
console.log(count, `then HLT before 0x${vcpu.getRegs().rip.toString(16)}`);
