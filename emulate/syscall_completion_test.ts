/** SYSCALL and SYSRET, on a CPU and on a KVM that leaves SYSCALL half done. */
import assert from "node:assert/strict";
import { Exit } from "../ffi/kvm/run.ts";
import { KVM, needing } from "../ffi/testing/needs.ts";
import {
  SyscallCompletion,
  type SyscallCompletionState,
} from "./syscall_completion.ts";
import { CODE, DATA, LongModeMachine } from "./testing/long_mode_machine.ts";
import { KERNEL_CODE, UNMAPPED } from "./testing/long_mode_machine.ts";
import { Msr } from "../ffi/kvm/msr.ts";

const EFER_SCE = 1n;
const MASK = 0x4_0700n;
const SELECTORS = 0x10n << 32n | 0x23n << 48n;

interface Completing {
  machine: LongModeMachine;
  completion: SyscallCompletion;
  /** What {@linkcode SyscallCompletion.save} gave after each stop. */
  states: SyscallCompletionState[];
}

/** A machine whose SYSCALLs are completed, once LSTAR is written. */
function completing(): Completing {
  const machine = new LongModeMachine();
  machine.vm.exitOnMsrWrite(Msr.LSTAR);
  const completion = new SyscallCompletion(machine.vcpu, () => machine.memory);
  const states: SyscallCompletionState[] = [];
  machine.onExit = (reason) => {
    if (reason === Exit.X86_WRMSR) completion.lstarWritten();
    else if (reason === Exit.DEBUG) completion.stopped();
    else return false;
    states.push(completion.save());
    return true;
  };
  machine.vcpu.setMsrs([[Msr.STAR, SELECTORS], [Msr.SYSCALL_MASK, MASK]]);
  // pushfq would need a stack: lahf is enough. mov [rbx], rcx; sysretq
  machine.memory.write(
    KERNEL_CODE,
    Uint8Array.of(0x48, 0x89, 0x0b, 0x4c, 0x89, 0x5b, 8, 0x48, 0x0f, 0x07),
  );
  return { machine, completion, states };
}

/** A machine whose CPL0 code writes LSTAR, and then goes on at CPL3. */
function machineWithSyscall(): Completing {
  const made = completing();
  const { machine } = made;
  // mov ecx, LSTAR; mov eax, KERNEL_CODE; xor edx, edx; wrmsr
  const u32 = (value: number) =>
    [0, 8, 16, 24].map((shift) => value >>> shift & 0xff);
  machine.run({
    cpl: 0,
    code: [
      ...[0xb9, ...u32(Msr.LSTAR), 0xb8, ...u32(KERNEL_CODE)],
      ...[0x31, 0xd2, 0x0f, 0x30],
    ],
  });
  assert.equal(machine.vcpu.getMsr(Msr.LSTAR), BigInt(KERNEL_CODE));
  return made;
}

/** Makes three system calls. */
function assertSyscalls(machine: LongModeMachine): void {
  for (let i = 0; i < 3; i++) {
    const { registers, data, fault } = machine.run({
      code: [0x0f, 0x05, 0xff, 0xc0], // syscall; inc eax
      cpl: 3,
      registers: { rax: 7n, rcx: 1n, r11: 2n, rflags: 0x246n },
      prepare: (sregs) =>
        sregs.setControl("efer", sregs.control("efer") | EFER_SCE),
    });
    assert.equal(fault, undefined);
    const view = new DataView(data.buffer);
    assert.equal(view.getBigUint64(0, true), BigInt(CODE + 2), "RCX");
    assert.equal(view.getBigUint64(8, true), 0x246n, "R11");
    assert.equal(registers.rax, 8n);
    assert.equal(registers.rsp, 0x30_0000n, "the stack is the program's");
    assert.equal(machine.vcpu.getSregs().segment("cs").dpl, 3);
  }
}

Deno.test(needing([KVM], {
  name: "SyscallCompletion: SYSCALL arrives at CPL0, SYSRET goes back",
  fn() {
    const { machine } = machineWithSyscall();
    using _machine = machine;
    assertSyscalls(machine);
  },
}));

Deno.test(needing([KVM], {
  name: "SyscallCompletion: another vCPU goes on as the saved one was",
  fn() {
    const { machine, completion, states } = machineWithSyscall();
    using _machine = machine;
    const armed = completion.save();
    assert.equal(armed.stepping, false);
    assert.notEqual(armed.handler, undefined);
    // A fault that is none of ours is stepped over.
    machine.run({
      code: [0x8a, 0x03], // mov al, [rbx]
      cpl: 0,
      registers: { rbx: BigInt(UNMAPPED) },
    });
    const stepping = { ...armed, stepping: true };
    assert.deepEqual(states, [armed, stepping], "the handler is an exit");
    for (const state of [armed, stepping]) {
      const other = completing();
      using _other = other.machine;
      assert.deepEqual(other.completion.save(), {
        handler: undefined,
        stepping: false,
      });
      other.machine.vcpu.setMsrs([[Msr.LSTAR, BigInt(KERNEL_CODE)]]);
      other.completion.restore(structuredClone(state));
      assert.deepEqual(other.completion.save(), state);
      other.machine.run({ code: [0x90], cpl: 0 }); // the step, if any
      assert.deepEqual(other.completion.save(), armed);
      assertSyscalls(other.machine);
    }
  },
}));

Deno.test(needing([KVM], {
  name: "SyscallCompletion: other page faults reach their handler",
  fn() {
    const { machine, completion } = machineWithSyscall();
    using _machine = machine;
    for (const cpl of [0, 3] as const) {
      const { fault } = machine.run({
        code: [0x8a, 0x03], // mov al, [rbx]
        cpl,
        registers: { rbx: BigInt(UNMAPPED) },
      });
      assert.equal(fault?.vector, 14);
      assert.equal(fault?.cr2, BigInt(UNMAPPED));
    }
    const fine = machine.run({
      code: [0x8a, 0x03],
      cpl: 3,
      data: Uint8Array.of(9),
    });
    assert.equal(fine.registers.rax, 9n);
    assert.equal(fine.registers.rbx, BigInt(DATA));
    assert.equal(completion.count, 0);
  },
}));
