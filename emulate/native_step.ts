/**
 * Runs one instruction of the guest's kernel on the CPU. Where KVM emulates
 * CPL0, it runs CPL3 on the CPU: so a second VM, with the guest's RAM, its
 * registers, and page tables of its own, steps once at CPL3 by RFLAGS.TF. What is not
 * privileged works like this, x87 and vector arithmetic too.
 *
 * The page tables are filled as the instruction faults: with what the guest's
 * own map there, if these allow the access.
 *
 * @module
 */
import { Kvm, type Vm } from "../ffi/kvm/kvm.ts";
import type { Registers, SpecialRegisters } from "../ffi/kvm/registers.ts";
import { Exit } from "../ffi/kvm/run.ts";
import { Mapping } from "../ffi/memory/mmap.ts";
import { type Vcpu, wasKicked } from "../ffi/kvm/vcpu.ts";
import { GiB } from "../guest/layout.ts";
import { enterLongMode } from "../guest/boot/long_mode.ts";
import type { GuestMemory } from "../guest/memory.ts";
import { GuestFault, PageFaultCode, Vector } from "./fault.ts";
import type { LinearMemory } from "./linear_memory.ts";
import { StepTables } from "./step_tables.ts";

/** Guest physical address of what the second VM has beside the guest's RAM. */
const OWN = 128 * GiB;

const CR4_OSFXSR = 3n << 9n;
const CR4_OSXSAVE = 1n << 18n;
/** CF, PF, AF, ZF, SF, DF, OF: what an instruction at CPL3 may leave behind. */
const RFLAGS_RESULT = 0xcd5n;
const RFLAGS_RESERVED = 2n;
/** Trap flag: #DB after one instruction. */
const RFLAGS_TF = 1n << 8n;
/** Two pages of code, and operands: no instruction touches more than these. */
const FAULTS_MAX = 72;
/** Faults that come from the operands, and not from CPL3. */
const FROM_OPERANDS = [0, 16, 19];

/** What the guest's instruction starts from. */
export interface StepState {
  /** The vCPU, for its extended registers. */
  readonly vcpu: Vcpu;
  /** Its registers; changed when the instruction has been carried out. */
  readonly registers: Registers;
  /** Its segments. */
  readonly sregs: SpecialRegisters;
  /** Its memory. */
  readonly memory: LinearMemory;
}

/** A second VM beside the guest. It belongs to the vCPU's thread. */
export class NativeStep implements Disposable {
  readonly #stack = new DisposableStack();
  readonly #vcpu: Vcpu;
  readonly #vm: Vm;
  readonly #own: Mapping;
  readonly #tables: StepTables;

  /** A second VM on `ram`. */
  constructor(ram: GuestMemory) {
    using undo = this.#stack;
    using kvm = new Kvm();
    this.#vm = undo.use(kvm.createVm());
    this.#own = undo.use(
      new Mapping(StepTables.SIZE, { name: "a second VM's tables" }),
    );
    ram.regions.forEach(({ guestAddress, size, hostAddress }, slot) =>
      this.#vm.setUserMemoryRegion(slot, guestAddress, size, hostAddress)
    );
    this.#tables = new StepTables(new DataView(this.#own.buffer), OWN);
    this.#plugOwn(ram.regions.length);
    this.#ownSlot = ram.regions.length;
    this.#vcpu = undo.use(this.#vm.createVcpu(0));
    this.#vcpu.setCpuid2(kvm.getSupportedCpuid());
    this.#stack = undo.move();
  }

  readonly #ownSlot: number;

  /**
   * Carries out the instruction at RIP. False when it is privileged, or no
   * instruction at all.
   *
   * @throws {GuestFault} when it faults in the guest
   */
  step({ vcpu, registers, sregs, memory }: StepState): boolean {
    const { rip, rflags } = registers;
    if (this.#tables.covers(rip)) return false;
    this.#forgetChanged(memory);
    const area = vcpu.getXsave();
    const special = this.#special(sregs);
    for (let faults = 0; faults < FAULTS_MAX; faults++) {
      this.#vcpu.setXsave(area);
      this.#vcpu.setSregs(special);
      const flags = rflags & RFLAGS_RESULT | RFLAGS_RESERVED | RFLAGS_TF;
      this.#vcpu.setRegs({ ...registers, rflags: flags });
      if (!this.#enter()) return false;
      const after = this.#vcpu.getRegs();
      const vector = this.#tables.vectorAt(after.rip);
      if (vector === undefined) return false;
      if (vector === Vector.DEBUG) {
        const frame = this.#tables.frameAt(after.rsp);
        const flags = rflags & ~RFLAGS_RESULT | frame.rflags & RFLAGS_RESULT;
        const { rip, rsp } = frame;
        Object.assign(registers, after, { rip, rsp, rflags: flags });
        vcpu.setXsave(this.#vcpu.getXsave());
        return true;
      }
      if (FROM_OPERANDS.includes(vector)) throw new GuestFault(vector);
      if (vector !== Vector.PAGE_FAULT) return false;
      if (!this.#map(memory, after.rsp)) return false;
    }
    return false;
  }

  /** Until an exception has been reported; false after any other exit. */
  #enter(): boolean {
    for (;;) {
      const code = this.#vcpu.enter();
      if (code === 0) return this.#vcpu.run.exitReason === Exit.HLT;
      if (!wasKicked(code)) return false;
    }
  }

  /** Maps what the page fault asks for; false if that can't be. */
  #map(memory: LinearMemory, rsp: bigint): boolean {
    const linear = this.#vcpu.getSregs().control("cr2");
    const code = this.#tables.errorCodeAt(rsp);
    const write = (code & PageFaultCode.WRITE) !== 0;
    if (this.#tables.covers(linear)) return false;
    const physical = memory.translate(linear, write);
    return this.#tables.map(linear, physical, write);
  }

  /** KVM doesn't see when these tables change: a changed page ends them all. */
  #forgetChanged(memory: LinearMemory): void {
    const same = this.#tables.every((linear, physical, write) => {
      try {
        return memory.translate(linear, write) === physical;
      } catch (error) {
        if (error instanceof GuestFault) return false;
        throw error;
      }
    });
    if (same) return;
    this.#vm.setUserMemoryRegion(this.#ownSlot, OWN, 0, this.#own.address);
    this.#tables.clear();
    this.#plugOwn(this.#ownSlot);
  }

  #plugOwn(slot: number): void {
    const { size, address } = this.#own;
    this.#vm.setUserMemoryRegion(slot, OWN, size, address);
  }

  /** CPL3 on our tables, with the guest's FS and GS. */
  #special(guest: SpecialRegisters): SpecialRegisters {
    const sregs = this.#vcpu.getSregs();
    enterLongMode(sregs);
    this.#tables.enter(sregs);
    for (const name of ["fs", "gs"] as const) {
      const { base } = guest.segment(name);
      sregs.setSegment(name, { ...sregs.segment(name), base });
    }
    const cr4 = sregs.control("cr4") | CR4_OSFXSR | CR4_OSXSAVE;
    sregs.setControl("cr4", cr4);
    return sregs;
  }

  /** Gives the VM back. */
  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}
