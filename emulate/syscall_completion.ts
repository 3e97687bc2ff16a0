/**
 * SYSCALL for stock kernels on hosts whose KVM emulates guest kernel mode.
 *
 * There, SYSCALL at CPL3 runs on the CPU: it sets RCX, R11 and RIP as it should,
 * but the CPU stays at CPL3. The next fetch, at LSTAR, is a page fault, which
 * KVM delivers to the guest; Linux answers with SIGSEGV. So a breakpoint stops
 * the vCPU in front of the guest's page fault handler. When the fault is that of
 * a SYSCALL, the rest of SYSCALL is done here, and the fault never happened;
 * else the handler goes on.
 *
 * @module
 */
import type { DebugUser } from "../ffi/kvm/guest_debug.ts";
import type { Vcpu } from "../ffi/kvm/vcpu.ts";
import type { GuestMemory } from "../guest/memory.ts";
import { GuestFault, Vector } from "./fault.ts";
import { LinearMemory } from "./linear_memory.ts";
import { Msr } from "../ffi/kvm/msr.ts";

const GATE_SIZE = 16;
const RFLAGS_RESERVED = 2n;
const RFLAGS_IF = 1n << 9n;
/** What CPL3 can change in RFLAGS: status flags, TF, DF, NT, AC, ID. */
const RFLAGS_OF_USER = 0x24_4dd5n;
const PRIVILEGE = 3n;

/** What an exception pushes (SDM vol. 3, figure 6-9), in words from RSP on. */
const Frame = { ERROR: 0, RIP: 1, CS: 2, RSP: 4, WORDS: 6 } as const;

/** What a snapshot keeps; LSTAR itself is among the vCPU's MSRs. */
export interface SyscallCompletionState {
  /** Linear address of the guest's page fault handler; undefined: not armed. */
  readonly handler: bigint | undefined;
  /** The vCPU goes on behind the breakpoint at the handler. */
  readonly stepping: boolean;
}

/** Completes the SYSCALLs of one vCPU. */
export class SyscallCompletion {
  /** How many so far. */
  count = 0;
  readonly #vcpu: Vcpu;
  readonly #memory: () => GuestMemory;
  #lstar = 0n;
  #handler: bigint | undefined;
  #debug: DebugUser | undefined;

  /**
   * For `vcpu`.
   *
   * @param memory gives the guest's RAM
   */
  constructor(vcpu: Vcpu, memory: () => GuestMemory) {
    this.#vcpu = vcpu;
    this.#memory = memory;
  }

  /** `Exit.X86_WRMSR`: the guest says where SYSCALL goes. */
  lstarWritten(): void {
    const { run } = this.#vcpu;
    this.#lstar = run.msrData;
    // KVM refuses an address that isn't canonical, as the CPU does.
    const done = this.#vcpu.trySetMsr(Msr.LSTAR, this.#lstar);
    run.msrError = !done;
    if (!done) return;
    const handler = this.#pageFaultHandler();
    if (handler !== undefined) this.#arm(handler);
  }

  /**
   * `Exit.DEBUG`: in front of the page fault handler, or behind its start. False
   * when it is somebody else's: nothing is armed.
   */
  stopped(): boolean {
    const debug = this.#debug;
    if (debug === undefined) return false;
    if (debug.stepping) debug.stopStepping();
    else if (!this.#complete()) debug.step();
    return true;
  }

  /** What {@linkcode SyscallCompletion.restore} needs. */
  save(): SyscallCompletionState {
    const stepping = this.#debug?.stepping ?? false;
    return { handler: this.#handler, stepping };
  }

  /**
   * Goes on as another vCPU was when it was saved. The MSRs must be restored
   * already: the guest writes LSTAR once, and no exit comes after a restore.
   */
  restore({ handler, stepping }: SyscallCompletionState): void {
    if (handler === undefined) return;
    this.#lstar = this.#vcpu.getMsr(Msr.LSTAR)!;
    this.#arm(handler);
    if (stepping) this.#debug!.step();
  }

  #arm(handler: bigint): void {
    this.#handler = handler;
    this.#debug ??= this.#vcpu.debug.claim("syscall completion", 1);
    this.#debug.setBreakpoint(handler);
  }

  /** The offset in the IDT's gate, if there is one. */
  #pageFaultHandler(): bigint | undefined {
    const sregs = this.#vcpu.getSregs();
    const { base } = sregs.table("idt");
    const at = base + BigInt(Vector.PAGE_FAULT * GATE_SIZE);
    try {
      const bytes = this.#linear(sregs).read(at, GATE_SIZE);
      const gate = new DataView(bytes.buffer);
      const low = BigInt(gate.getUint16(0, true));
      const middle = BigInt(gate.getUint16(6, true)) << 16n;
      return low | middle | BigInt(gate.getUint32(8, true)) << 32n;
    } catch (error) {
      if (error instanceof GuestFault) return undefined;
      throw error;
    }
  }

  /** Undoes the fault and completes the SYSCALL, if it was one. */
  #complete(): boolean {
    const sregs = this.#vcpu.getSregs();
    if (sregs.control("cr2") !== this.#lstar) return false;
    const registers = this.#vcpu.getRegs();
    const bytes = this.#linear(sregs).read(registers.rsp, Frame.WORDS * 8);
    const frame = new BigUint64Array(bytes.buffer);
    const fromUser = (frame[Frame.CS]! & PRIVILEGE) === PRIVILEGE;
    if (!fromUser || frame[Frame.RIP] !== this.#lstar) return false;
    const mask = this.#vcpu.getMsr(Msr.SYSCALL_MASK)!;
    // CS and the privilege level are the handler's already, and SS is null,
    // which 64-bit mode takes for any. A jump to LSTAR looks like a SYSCALL, so
    // R11, the flags to return with, may hold only what a program could set.
    this.#vcpu.setRegs({
      ...registers,
      rip: this.#lstar,
      rsp: frame[Frame.RSP]!,
      r11: registers.r11 & RFLAGS_OF_USER | RFLAGS_IF | RFLAGS_RESERVED,
      rflags: registers.r11 & RFLAGS_OF_USER & ~(mask ?? 0n) | RFLAGS_RESERVED,
    });
    this.count++;
    return true;
  }

  #linear(sregs: ReturnType<Vcpu["getSregs"]>): LinearMemory {
    return new LinearMemory(this.#memory(), { sregs, cpl: 0, rflags: 0n });
  }
}
