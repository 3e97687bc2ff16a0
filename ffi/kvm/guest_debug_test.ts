/** Breakpoints and steps of a vCPU, and who has them. */
import assert from "node:assert/strict";
import { Mapping } from "../memory/mmap.ts";
import { KVM, needing } from "../testing/needs.ts";
import {
  canStepWithoutInterrupts,
  encodeDr7,
  setGuestDebug,
} from "./guest_debug.ts";
import { Kvm } from "./kvm.ts";
import { Exit } from "./run.ts";
import { wasKicked } from "./vcpu.ts";

const CODE = 0x1000;
const NOP = 0x90, HLT = 0xf4;

/** A vCPU in real mode, in front of three NOPs and a HLT. */
function vcpuInFrontOfNops(stack: DisposableStack) {
  const kvm = stack.use(new Kvm());
  const vm = stack.use(kvm.createVm());
  const memory = stack.use(new Mapping(0x1_0000));
  vm.setUserMemoryRegion(0, 0, memory.size, memory.address);
  new Uint8Array(memory.buffer).set([NOP, NOP, NOP, HLT], CODE);
  const vcpu = stack.use(vm.createVcpu(0));
  const sregs = vcpu.getSregs();
  sregs.setSegment("cs", { ...sregs.segment("cs"), base: 0n, selector: 0 });
  vcpu.setSregs(sregs);
  vcpu.setRegs({ rip: BigInt(CODE), rflags: 2n });
  /** Runs to the next exit; its reason, and the offset of RIP in the code. */
  const exit = () => {
    let code = vcpu.enter();
    while (wasKicked(code)) code = vcpu.enter(); // Deno's own signals
    assert.equal(code, 0);
    return [vcpu.run.exitReason, Number(vcpu.getRegs().rip) - CODE];
  };
  return { vcpu, exit };
}

function test(name: string, body: (stack: DisposableStack) => void): void {
  Deno.test(needing([KVM], {
    name: `GuestDebug: ${name}`,
    fn() {
      using stack = new DisposableStack();
      body(stack);
    },
  }));
}

test("four breakpoints for all users together; a refusal says who has them", (stack) => {
  const { debug } = vcpuInFrontOfNops(stack).vcpu;
  assert.throws(() => debug.claim("gdb", 5), {
    message: "gdb: needs 5 of a vCPU's 4 breakpoints",
  });
  const syscalls = debug.claim("syscall completion", 1);
  debug.claim("user stepping", 2);
  assert.throws(() => debug.claim("gdb", 2), {
    name: "VireoError",
    message: "gdb: needs 2 of a vCPU's 4 breakpoints, and syscall completion " +
      "has 1, user stepping has 2",
  });
  debug.claim("gdb", 1);
  assert.throws(
    () => debug.claim("another", 1),
    /user stepping has 2, gdb has 1/,
  );
  syscalls[Symbol.dispose]();
  debug.claim("another", 1);
});

test("a vCPU stops in front of each user's addresses, and goes on by a step", (stack) => {
  const { vcpu, exit } = vcpuInFrontOfNops(stack);
  const one = vcpu.debug.claim("one", 1);
  const two = vcpu.debug.claim("two", 2);
  assert.throws(() => two.setBreakpoint(0n, 2), /two has 2 breakpoints/);
  one.setBreakpoint(BigInt(CODE));
  two.setBreakpoint(BigInt(CODE + 2), 1);
  assert.deepEqual(exit(), [Exit.DEBUG, 0]);
  assert.deepEqual(exit(), [Exit.DEBUG, 0], "and again: it has not gone on");
  one.step();
  assert.deepEqual([one.stepping, two.stepping], [true, false]);
  assert.deepEqual(exit(), [Exit.DEBUG, 1]);
  one.stopStepping();
  assert.deepEqual(exit(), [Exit.DEBUG, 2]);
  two.setBreakpoint(undefined, 1);
  assert.deepEqual(exit(), [Exit.HLT, 4]);
});

test("what one user gives back is the others' no more", (stack) => {
  const { vcpu, exit } = vcpuInFrontOfNops(stack);
  const one = vcpu.debug.claim("one", 1);
  const two = vcpu.debug.claim("two", 1);
  one.setBreakpoint(BigInt(CODE));
  two.setBreakpoint(BigInt(CODE + 1));
  one.step();
  one[Symbol.dispose]();
  assert.deepEqual(exit(), [Exit.DEBUG, 1], "no step, and no stop in front");
});

test("what is set from outside is in the place of all before", (stack) => {
  const { vcpu, exit } = vcpuInFrontOfNops(stack);
  const { fd } = vcpu;
  setGuestDebug(fd, { step: true });
  assert.deepEqual(exit(), [Exit.DEBUG, 1]);
  using kvm = new Kvm();
  if (canStepWithoutInterrupts(kvm)) {
    setGuestDebug(fd, { step: "without interrupts" });
    assert.deepEqual(exit(), [Exit.DEBUG, 2]);
  }
  const stops = [undefined, { address: BigInt(CODE + 3) }];
  setGuestDebug(fd, { stops });
  assert.deepEqual(exit(), [Exit.DEBUG, 3]);
  setGuestDebug(fd, {});
  assert.deepEqual(exit(), [Exit.HLT, 4]);
});

Deno.test("GuestDebug: DR7 says of each slot what it stops at, and how long it is", () => {
  const address = 0x1000n;
  // SDM vol. 3, §18.2.4: G0 to G3, bit 10, and four bits for each slot.
  assert.equal(encodeDr7([]), 0n);
  assert.equal(encodeDr7([undefined, undefined]), 0n);
  assert.equal(encodeDr7([{ address }]), 0x402n);
  assert.equal(
    encodeDr7([
      { address, kind: "write", length: 4 },
      { address, kind: "access", length: 8 },
      { address, kind: "write", length: 2 },
      { address, kind: "execute" },
    ]),
    0x05bd_04aan,
  );
  assert.throws(() => encodeDr7(new Array(5)), RangeError);
});
