/** State of KVM's: a guest goes on in another machine. */
import assert from "node:assert/strict";
import { Kvm, type Vm } from "./kvm.ts";
import { Exit } from "./run.ts";
import { Mapping } from "../memory/mmap.ts";
import { KVM, needing } from "../testing/needs.ts";
import { type Vcpu, wasKicked } from "./vcpu.ts";
import { completeExit, restoreVcpu, saveVcpu } from "./vcpu_state.ts";
import { restoreVm, savedMsrs, saveVm } from "./vm_state.ts";

const CODE = 0x1000;
const RFLAGS_RESERVED = 2n;

/** A vCPU in real mode, with interrupt controllers, in 64 KiB of RAM. */
class Machine implements Disposable {
  readonly kvm = new Kvm();
  readonly vm: Vm = this.kvm.createVm();
  readonly memory = new Mapping(0x1_0000);
  readonly vcpu: Vcpu;

  constructor() {
    const { address, size } = this.memory;
    this.vm.setUserMemoryRegion(0, 0, size, address);
    this.vm.createIrqchip();
    this.vm.createPit2();
    this.vcpu = this.vm.createVcpu(0);
    this.vcpu.setCpuid2(this.kvm.getSupportedCpuid());
  }

  load(...code: number[]): void {
    new Uint8Array(this.memory.buffer).set(code, CODE);
    const sregs = this.vcpu.getSregs();
    sregs.setSegment("cs", { ...sregs.segment("cs"), base: 0n, selector: 0 });
    sregs.setSegment("ds", { ...sregs.segment("ds"), base: 0x2_0000n });
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

  /** The value of the OUT that it exits with next. */
  output(): number {
    assert.equal(this.exit(), Exit.IO);
    const { run } = this.vcpu;
    assert.ok(run.ioIsOut);
    return run.u8[run.ioDataOffset]!;
  }

  /** A machine like this one, memory and all. */
  twin(): Machine {
    const state = saveVcpu(this.vcpu, savedMsrs(this.kvm.fd));
    const twin = new Machine();
    new Uint8Array(twin.memory.buffer).set(new Uint8Array(this.memory.buffer));
    restoreVm(twin.vm.fd, saveVm(this.vm.fd));
    restoreVcpu(twin.vcpu, structuredClone(state));
    return twin;
  }

  [Symbol.dispose](): void {
    this.vcpu.close();
    this.vm.close();
    this.kvm.close();
    this.memory.unmap();
  }
}

function test(name: string, fn: () => void): void {
  Deno.test(needing([KVM], { name, fn }));
}

const never = () => assert.fail("there is no second exit");

test("vCPU state: what waits for an IN is taken along, and read once", () => {
  using machine = new Machine();
  // loop: in al, 0x60; add bl, al; mov al, bl; out 0x71, al; jmp loop
  machine.load(0xe4, 0x60, 0x00, 0xc3, 0x88, 0xd8, 0xe6, 0x71, 0xeb, 0xf6);
  const input = ({ vcpu: { run } }: Machine, value: number) => {
    assert.equal(run.ioIsOut, false);
    run.u8[run.ioDataOffset] = value;
  };
  assert.equal(machine.exit(), Exit.IO);
  input(machine, 5);
  completeExit(machine.vcpu, never);
  using twin = machine.twin();
  for (const one of [machine, twin, machine, twin]) {
    const sum = one.vcpu.getRegs().rbx;
    assert.equal(one.output(), Number(sum & 0xffn) + (sum === 0n ? 5 : 7));
    completeExit(one.vcpu, never);
    assert.equal(one.exit(), Exit.IO);
    input(one, 7);
    completeExit(one.vcpu, never);
  }
});

test("vCPU state: a read-modify-write of a device exits twice before it is done", () => {
  using machine = new Machine();
  // mov al, 0x0f; or [0x10], al; mov al, [0x200]; out 0x71, al
  machine.load(
    ...[0xb0, 0x0f, 0x08, 0x06, 0x10, 0x00, 0xb0, 0x42, 0xe6, 0x71],
  );
  assert.equal(machine.exit(), Exit.MMIO);
  const { run } = machine.vcpu;
  run.u8[40] = 0xa0; // mmio.data
  const written: number[] = [];
  completeExit(machine.vcpu, () => {
    assert.equal(run.mmioIsWrite, true);
    written.push(run.u8[40]!);
  });
  assert.deepEqual(written, [0xaf]);
  using twin = machine.twin();
  assert.deepEqual([machine.output(), twin.output()], [0x42, 0x42]);
});

test("vCPU state: restored, it reads as it was saved", () => {
  using machine = new Machine();
  machine.load(0xe6, 0x71);
  const area = machine.vcpu.getXsave();
  const XMM0 = 160;
  area.fill(0x5a, XMM0, XMM0 + 16);
  const MXCSR = 24;
  area[MXCSR] = 0xa0; // rounds to nearest, traps on some
  const XSTATE_BV = 512;
  area[XSTATE_BV] = 3;
  machine.vcpu.setXsave(area);
  machine.output();
  const msrs = savedMsrs(machine.kvm.fd);
  const LSTAR = 0xc0000082;
  const TSC = 0x10; // goes on
  assert.ok(msrs.includes(LSTAR));
  machine.vcpu.setMsrs([[LSTAR, 0x1234_5678n]]);
  using twin = machine.twin();
  const { msrs: before, ...rest } = saveVcpu(machine.vcpu, msrs);
  const { msrs: after, ...same } = saveVcpu(twin.vcpu, msrs);
  assert.deepEqual(same, rest);
  const still = (list: [number, bigint][]) => list.filter(([i]) => i !== TSC);
  assert.deepEqual(still(after), still(before));
  assert.deepEqual(after.find(([i]) => i === LSTAR), [LSTAR, 0x1234_5678n]);
  assert.ok(after.length > 40, `${after.length} MSRs`);
});

test("VM state: an interrupt that waits at the I/O APIC waits in the twin", () => {
  using machine = new Machine();
  machine.load(0xe6, 0x71);
  machine.vm.irqLine(9, true);
  const irr = ({ vm }: Machine) => saveVm(vm.fd).irqchips[2]!.slice(8, 32);
  const waiting = irr(machine);
  using twin = machine.twin();
  assert.deepEqual(irr(twin), waiting);
  assert.ok(waiting.some((byte) => byte !== 0));
});

Deno.test(needing([KVM], {
  name:
    "vCPU state: all MSRs together are as one by one, without those refused",
  fn() {
    using machine = new Machine();
    const { kvm, vcpu } = machine;
    const REFUSED = [0x1234_5678, 0x2345_6789];
    const known = savedMsrs(kvm.fd);
    const asked = [REFUSED[0]!, ...known, ...REFUSED, 0x1b, REFUSED[1]!];
    const moving = [0x10, 0x6e0]; // the TSC, and its deadline
    const found = vcpu.getMsrs(asked).filter(([i]) => !moving.includes(i));
    const one = asked.filter((index) => !moving.includes(index))
      .map((index) => [index, vcpu.getMsr(index)])
      .filter(([, value]) => value !== undefined);
    assert.ok(found.length > 20);
    assert.deepEqual(found, one);
    assert.deepEqual(vcpu.getMsrs([]), []);
    assert.deepEqual(vcpu.getMsrs(REFUSED), []);
  },
}));
