/**
 * A VMM in forty lines: a guest of twelve bytes adds two numbers, prints the
 * sum on the serial port, and halts. KVM and nothing else.
 *
 *     deno run --allow-ffi examples/twelve_bytes.ts
 */
import { Exit, Kvm, Mapping } from "../mod.ts";

const CODE = [
  ...[0xba, 0xf8, 0x03], // mov dx, 0x3f8
  ...[0x00, 0xd8], //       add al, bl
  ...[0x04, 0x30], //       add al, '0'
  0xee, //                  out dx, al
  ...[0xb0, 0x0a], //       mov al, '\n'
  0xee, //                  out dx, al
  0xf4, //                  hlt
];
const ADDRESS = 0x1000;

using kvm = new Kvm();
using vm = kvm.createVm();
using ram = new Mapping(4096);
new Uint8Array(ram.buffer).set(CODE);
vm.setUserMemoryRegion(0, ADDRESS, ram.size, ram.address);

using vcpu = vm.createVcpu(0);
const sregs = vcpu.getSregs();
sregs.setSegment("cs", { ...sregs.segment("cs"), base: 0n, selector: 0 });
vcpu.setSregs(sregs);
vcpu.setRegs({ rip: BigInt(ADDRESS), rax: 2n, rbx: 2n, rflags: 2n });

for (;;) {
  vcpu.enter();
  if (vcpu.run.exitReason !== Exit.IO) break;
  const byte = vcpu.run.u8[vcpu.run.ioDataOffset]!;
  Deno.stdout.writeSync(Uint8Array.of(byte));
}
