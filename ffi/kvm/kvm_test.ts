/** KVM: machines of a few instructions. */
import assert from "node:assert/strict";
import { EventFd } from "../eventfd.ts";
import { Cap } from "./capabilities.ts";
import { Kvm, type Vm } from "./kvm.ts";
import { Exit, exitName } from "./run.ts";
import { Mapping } from "../memory/mmap.ts";
import { unmask } from "../testing/ioapic.ts";
import { descriptorsOfProcess } from "../testing/mmap.ts";
import { KVM, needing } from "../testing/needs.ts";
import { MpState, type Vcpu, wasKicked } from "./vcpu.ts";

const CODE = 0x1000;
const RFLAGS_RESERVED = 2n;
const HLT = 0xf4;

/** A vCPU in real mode at `code`, in 64 KiB of RAM. */
class Machine implements Disposable {
  readonly #kvm = new Kvm();
  readonly vm: Vm = this.#kvm.createVm();
  readonly memory = new Mapping(0x1_0000);
  readonly vcpu: Vcpu;

  constructor(...code: number[]) {
    const { address, size, buffer } = this.memory;
    this.vm.setUserMemoryRegion(0, 0, size, address);
    new Uint8Array(buffer).set(code, CODE);
    this.vcpu = this.vm.createVcpu(0);
    const sregs = this.vcpu.getSregs();
    sregs.setSegment("cs", { ...sregs.segment("cs"), base: 0n, selector: 0 });
    this.vcpu.setSregs(sregs);
    this.vcpu.setRegs({ rip: BigInt(CODE), rflags: RFLAGS_RESERVED });
  }

  /** Runs to the next exit. */
  exit(): number {
    let code = this.vcpu.enter();
    while (wasKicked(code)) code = this.vcpu.enter(); // Deno's own signals
    assert.equal(code, 0);
    return this.vcpu.run.exitReason;
  }

  [Symbol.dispose](): void {
    this.vcpu.close();
    this.vm.close();
    this.#kvm.close();
    this.memory.unmap();
  }
}

/** One test that needs KVM. */
function test(name: string, fn: () => void): void {
  Deno.test(needing([KVM], { name, fn }));
}

Deno.test("Kvm: a device that isn't there, and one that isn't KVM", () => {
  assert.throws(() => new Kvm("/dev/no-kvm"), /open \/dev\/no-kvm: ENOENT .*;/);
  const before = descriptorsOfProcess().size;
  assert.throws(() => new Kvm("/dev/null"), /\/dev\/null: not KVM/);
  assert.equal(descriptorsOfProcess().size, before);
});

test("Kvm: what Vireo needs is there", () => {
  using kvm = new Kvm();
  const { IRQCHIP, USER_MEMORY, IRQFD, IOEVENTFD } = Cap;
  for (const cap of [IRQCHIP, USER_MEMORY, IRQFD, IOEVENTFD]) {
    assert.ok(kvm.checkExtension(cap) > 0, `capability ${cap}`);
  }
  assert.equal(kvm.checkExtension(9999), 0);
  assert.ok(kvm.getVcpuMmapSize() >= 4096);
  const cpuid = kvm.getSupportedCpuid();
  const entries = new DataView(cpuid.buffer).getUint32(0, true);
  assert.equal(cpuid.length, 8 + entries * 40);
  assert.ok(entries > 0 && entries < 256);
});

test("Vcpu: OUT exits with port, size and data; then HLT", () => {
  // mov dx, 0x3f8; mov al, 'V'; out dx, al; hlt
  using machine = new Machine(0xba, 0xf8, 0x03, 0xb0, 0x56, 0xee, HLT);
  const { run } = machine.vcpu;
  assert.equal(machine.exit(), Exit.IO);
  assert.equal(run.ioIsOut, true);
  assert.equal(run.ioPort, 0x3f8);
  assert.equal(run.ioSize, 1);
  assert.equal(run.ioCount, 1);
  assert.equal(run.u8[run.ioDataOffset], 0x56);
  assert.equal(machine.exit(), Exit.HLT);
  assert.equal(machine.vcpu.getRegs().rip, BigInt(CODE + 7));
});

test("Vcpu: IN takes what is put into the run structure", () => {
  // in al, 0x60; mov [0x2000], al; hlt
  using machine = new Machine(0xe4, 0x60, 0xa2, 0x00, 0x20, HLT);
  const { run } = machine.vcpu;
  assert.equal(machine.exit(), Exit.IO);
  assert.equal(run.ioIsOut, false);
  run.u8[run.ioDataOffset] = 0x9c;
  assert.equal(machine.exit(), Exit.HLT);
  assert.equal(new Uint8Array(machine.memory.buffer)[0x2000], 0x9c);
});

test("Vcpu: an access to no memory is an MMIO exit, both ways", () => {
  // mov ax, 0x2000; mov ds, ax; mov al, [0x10]; mov [0x14], al; hlt
  using machine = new Machine(
    ...[0xb8, 0x00, 0x20, 0x8e, 0xd8],
    ...[0xa0, 0x10, 0x00, 0xa2, 0x14, 0x00, HLT],
  );
  const { run } = machine.vcpu;
  assert.equal(machine.exit(), Exit.MMIO);
  assert.deepEqual(
    [run.mmioAddress, run.mmioSize, run.mmioIsWrite],
    [0x2_0010, 1, false],
  );
  run.u8[40] = 0x77; // mmio.data
  assert.equal(machine.exit(), Exit.MMIO);
  assert.deepEqual(
    [run.mmioAddress, run.mmioSize, run.mmioIsWrite],
    [0x2_0014, 1, true],
  );
  assert.equal(run.u8[40], 0x77);
  assert.equal(machine.exit(), Exit.HLT);
});

test("Vcpu: registers are set and read back", () => {
  using machine = new Machine(HLT);
  const { vcpu } = machine;
  const registers = vcpu.getRegs();
  registers.rax = 0x1122334455667788n;
  registers.r15 = 2n ** 64n - 1n;
  vcpu.setRegs(registers);
  assert.deepEqual(vcpu.getRegs(), registers);
  const sregs = vcpu.getSregs();
  sregs.setTable("gdt", 0x500n, 31);
  vcpu.setSregs(sregs);
  assert.deepEqual(vcpu.getSregs().bytes, sregs.bytes);
});

Deno.test(needing([KVM], {
  name: "Vm: memory that is only read is added late; writes there exit",
  async fn() {
    // mov ax, 0x2000; mov ds, ax; mov al, [0x10]; mov [0x14], al; hlt
    using machine = new Machine(
      ...[0xb8, 0x00, 0x20, 0x8e, 0xd8],
      ...[0xa0, 0x10, 0x00, 0xa2, 0x14, 0x00, HLT],
    );
    using page = new Mapping(4096);
    const bytes = new Uint8Array(page.buffer);
    bytes[0x10] = 0x77;
    {
      await using _added = machine.vm.addReadOnly(
        ...[1, 0x2_0000, page.size, page.address] as const,
      );
    }
    const { run } = machine.vcpu;
    assert.equal(machine.exit(), Exit.MMIO);
    assert.deepEqual(
      [run.mmioAddress, run.mmioSize, run.mmioIsWrite, run.u8[40]],
      [0x2_0014, 1, true, 0x77],
    );
    assert.equal(bytes[0x14], 0, "not written");
  },
}));

test("Vm: a pin of the I/O APIC is masked until the guest lets it through", () => {
  using kvm = new Kvm();
  using vm = kvm.createVm();
  vm.createIrqchip();
  assert.deepEqual([5, 23].map((gsi) => vm.unmasked(gsi)), [false, false]);
  unmask(vm.fd, 23);
  assert.deepEqual([5, 23].map((gsi) => vm.unmasked(gsi)), [false, true]);
});

test("Vm: an ioeventfd takes the write that matches, and no other", () => {
  // mov al, 2; out 0x55, al; mov al, 1; out 0x55, al; hlt
  const code = [0xb0, 0x02, 0xe6, 0x55, 0xb0, 0x01, 0xe6, 0x55, HLT];
  using machine = new Machine(...code);
  using doorbell = new EventFd();
  const at = { address: 0x55, length: 1, datamatch: 2, pio: true };
  machine.vm.ioeventfd(doorbell.fd, at);
  assert.equal(machine.exit(), Exit.IO);
  assert.equal(machine.vcpu.run.u8[machine.vcpu.run.ioDataOffset], 1);
  assert.equal(doorbell.drain(), true);
  assert.equal(machine.exit(), Exit.HLT);
  assert.equal(doorbell.drain(), false);
  machine.vm.removeIoeventfd(doorbell.fd, at);
  assert.throws(() => machine.vm.removeIoeventfd(doorbell.fd, at), /ENOENT/);
});

test("Vm: irqchip, timer and irqfd can be made; MP state is runnable", () => {
  using kvm = new Kvm();
  using vm = kvm.createVm();
  vm.createIrqchip();
  vm.createPit2();
  using interrupt = new EventFd();
  vm.irqfd(interrupt.fd, 5);
  vm.irqLine(4, true);
  using vcpu = vm.createVcpu(0);
  assert.equal(vcpu.getMpState(), MpState.RUNNABLE);
  assert.equal(vcpu.getLapic().byteLength, 1024);
  assert.throws(() => vm.irqfd(9999, 5), /KVM_IRQFD of GSI 5: EBADF/);
  assert.throws(() => vm.createVcpu(0), /KVM_CREATE_VCPU: EEXIST/);
});

test("Kvm: fifty machines leave no descriptor", () => {
  const before = descriptorsOfProcess().size;
  for (let i = 0; i < 50; i++) {
    using _ = new Machine(HLT);
  }
  assert.equal(descriptorsOfProcess().size, before);
});

Deno.test("exitName: names the exits, and numbers the others", () => {
  assert.equal(exitName(Exit.MMIO), "KVM_EXIT_MMIO");
  assert.equal(exitName(99), "KVM_EXIT_99");
});
