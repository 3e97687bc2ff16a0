/**
 * A guest that does nothing but exit: what a round trip to user space costs
 * in TypeScript. `bench/paths` has the same beside C.
 */
import { Exit, Kvm, Mapping, type Vcpu } from "../mod.ts";

const RAM = 0x1000;
const HOLE = 0x8000; // no memory there: an access is an MMIO exit

/** A vCPU in real mode that runs `code` for ever. */
function loop(code: number[]): Vcpu {
  const kvm = new Kvm();
  const vm = kvm.createVm();
  const ram = new Mapping(4096);
  // jmp back over the code and the jump itself
  const jump = [0xeb, 0x100 - code.length - 2];
  new Uint8Array(ram.buffer).set([...code, ...jump]);
  vm.setUserMemoryRegion(0, RAM, ram.size, ram.address);
  const vcpu = vm.createVcpu(0);
  const sregs = vcpu.getSregs();
  for (const name of ["cs", "ds"] as const) {
    const segment = sregs.segment(name);
    sregs.setSegment(name, { ...segment, base: 0n, selector: 0 });
  }
  vcpu.setSregs(sregs);
  vcpu.setRegs({ rip: BigInt(RAM), rbx: BigInt(HOLE), rdx: 0x80n, rflags: 2n });
  return vcpu;
}

function exits(vcpu: Vcpu, reason: number): void {
  vcpu.enter();
  if (vcpu.run.exitReason !== reason) throw new Error("another exit");
}

const out = loop([0xee]); // out dx, al
const input = loop([0xec]); // in al, dx
const store = loop([0x88, 0x07]); // mov [bx], al
const load = loop([0x8a, 0x07]); // mov al, [bx]

Deno.bench("exit: OUT", { group: "exit" }, () => exits(out, Exit.IO));
Deno.bench("exit: IN", { group: "exit" }, () => exits(input, Exit.IO));
Deno.bench("exit: MMIO write", { group: "exit" }, () => {
  exits(store, Exit.MMIO);
});
Deno.bench("exit: MMIO read", { group: "exit" }, () => exits(load, Exit.MMIO));
