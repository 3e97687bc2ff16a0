/**
 * For tests: runs a few instructions in long mode, at CPL0 or CPL3. Where KVM
 * emulates guest kernel mode, those at CPL3 run on the CPU and those at CPL0
 * through {@linkcode InstructionEmulation}; on VT-x and AMD-V both run on the CPU. So the
 * same code must give the same results at both levels on any host.
 *
 * @module
 */
import { Kvm, type Vm } from "../../ffi/kvm/kvm.ts";
import type { Registers, SpecialRegisters } from "../../ffi/kvm/registers.ts";
import { Exit } from "../../ffi/kvm/run.ts";
import { type Vcpu, wasKicked } from "../../ffi/kvm/vcpu.ts";
import { Layout, MiB } from "../../guest/layout.ts";
import { enterLongMode, writeBootTables } from "../../guest/boot/long_mode.ts";
import { GuestMemory } from "../../guest/memory.ts";
import { vcpuCpuid } from "../../guest/boot/cpuid.ts";
import { InstructionEmulation } from "../instruction_emulation.ts";

/** Where the code is. */
export const CODE = 0x20_0000;
/** Where the data is: RBX, RSI and RDI point to it at first. */
export const DATA = 0x21_0000;
/** Linear addresses of the same page as {@linkcode DATA}, not writable. */
export const READ_ONLY_DATA = 0x41_0000;
/** Where code may be that CPL3 may not use. */
export const KERNEL_CODE = 0x60_0000;
/** A linear address that nothing is mapped to; there is RAM before it. */
export const UNMAPPED = 0x8000_0000;

const HANDLERS = 0x22_0000;
const HANDLER_SIZE = 16;
const IDT = 0x23_0000;
const STACK = 0x30_0000;
const PAGE_DIRECTORIES = Layout.PAGE_TABLES + 0x2000;
const LARGE_PAGE = 2 * MiB;
/** Not RAM: a store to it is an MMIO exit, at any privilege level. */
const DONE = 0xd000_0000;
const VECTORS = 32;
const WITH_ERROR_CODE = [8, 10, 11, 12, 13, 14, 17];

// Linux's selectors: KVM without VMX and SVM wants them for CPL3.
const USER_DATA = 0x2b;
const USER_CODE = 0x33;
const USER_DATA_DESCRIPTOR = 0x00cf_f300_0000_ffffn;
const USER_CODE_DESCRIPTOR = 0x00af_fb00_0000_ffffn;
const CR4_OSFXSR = 3n << 9n;
const CR4_FSGSBASE = 1n << 16n;
const CR4_OSXSAVE = 1n << 18n;

/** What to run. */
export interface Run {
  /** The instructions. */
  code: readonly number[];
  /** 0 or 3. */
  cpl: 0 | 3;
  /** Registers; those left out are 0, but see {@linkcode DATA}. */
  registers?: Partial<Registers>;
  /** What is at {@linkcode DATA}. */
  data?: Uint8Array;
  /** Changes special registers before. */
  prepare?: (sregs: SpecialRegisters) => void;
}

/** What became of it. */
export interface Outcome {
  /** The registers after the instructions, or at the fault. */
  registers: Registers;
  /** 4 KiB at {@linkcode DATA}. */
  data: Uint8Array;
  /** The exception that ended them. */
  fault?: { vector: number; errorCode?: number; cr2?: bigint };
}

/** A vCPU with page tables, GDT and IDT. */
export class LongModeMachine implements Disposable {
  /** RAM. */
  readonly memory: GuestMemory = GuestMemory.allocate(8 * MiB);
  /** The vCPU. */
  readonly vcpu: Vcpu;
  /** The VM. */
  readonly vm: Vm;
  /** Takes exits that are not expected here; true when it has. */
  onExit: (reason: number) => boolean = () => false;
  readonly #kvm = new Kvm();
  readonly #emulation: InstructionEmulation;

  /** Makes it. */
  constructor() {
    this.vm = this.#kvm.createVm();
    this.vm.exitOnEmulationFailure();
    this.memory.regions.forEach(({ guestAddress, size, hostAddress }, slot) =>
      this.vm.setUserMemoryRegion(slot, guestAddress, size, hostAddress)
    );
    this.vcpu = this.vm.createVcpu(0);
    const supported = this.#kvm.getSupportedCpuid();
    this.vcpu.setCpuid2(vcpuCpuid(supported, { cpu: 0, cpus: 1 }));
    this.#emulation = new InstructionEmulation(
      this.vcpu,
      () => this.memory,
    );
    this.#writeTables();
  }

  /** What was carried out so far. */
  get counts(): Record<string, number> {
    return this.#emulation.counts;
  }

  /** Runs instructions. */
  run({ code, cpl, registers, data, prepare }: Run): Outcome {
    this.memory.bytes(DATA, 4096).fill(0);
    if (data) this.memory.write(DATA, data);
    this.memory.write(CODE, Uint8Array.from([...code, ...storeTo(DONE)]));
    const sregs = this.vcpu.getSregs();
    enterLongMode(sregs);
    sregs.setTable("gdt", BigInt(Layout.GDT), 0x37);
    sregs.setTable("idt", BigInt(IDT), VECTORS * 16 - 1);
    const cr4 = sregs.control("cr4");
    sregs.setControl("cr4", cr4 | CR4_OSFXSR | CR4_FSGSBASE | CR4_OSXSAVE);
    if (cpl === 3) {
      const user = { selector: USER_DATA, dpl: 3 };
      sregs.setSegment("ss", { ...sregs.segment("ss"), ...user });
      const cs = { selector: USER_CODE, dpl: 3 };
      sregs.setSegment("cs", { ...sregs.segment("cs"), ...cs });
    }
    prepare?.(sregs);
    this.vcpu.setSregs(sregs);
    const at = BigInt(DATA);
    this.vcpu.setRegs({
      rip: BigInt(CODE),
      rsp: BigInt(STACK),
      rflags: 2n,
      rbx: at,
      rsi: at,
      rdi: at,
      ...registers,
    });
    return this.#outcome(this.#untilDone());
  }

  #untilDone(): number {
    const { run } = this.vcpu;
    for (;;) {
      const code = this.vcpu.enter();
      if (wasKicked(code)) continue; // Deno's own signals
      if (code !== 0) throw new Error(`KVM_RUN: ${code}`);
      if (run.exitReason === Exit.MMIO) return run.mmioAddress;
      if (this.onExit(run.exitReason)) continue;
      if (run.exitReason !== Exit.INTERNAL_ERROR) {
        throw new Error(`exit ${run.exitReason}`);
      }
      if (!this.#emulation.carryOut()) {
        const bytes = run.instructionBytes.toHex();
        throw new Error(`can't carry out ${bytes}`);
      }
    }
  }

  #outcome(address: number): Outcome {
    const registers = this.vcpu.getRegs();
    const data = this.memory.bytes(DATA, 4096).slice();
    if (address === DONE) return { registers, data };
    const vector = address - DONE - HANDLER_SIZE;
    const withCode = WITH_ERROR_CODE.includes(vector);
    const stack = this.memory.view(Number(registers.rsp), 24);
    const fault = {
      vector,
      ...(withCode && { errorCode: stack.getUint32(0, true) }),
      ...(vector === 14 && { cr2: this.vcpu.getSregs().control("cr2") }),
    };
    registers.rip = stack.getBigUint64(withCode ? 8 : 0, true);
    return { registers, data, fault };
  }

  #writeTables(): void {
    const { memory } = this;
    writeBootTables(memory);
    const gdt = memory.view(Layout.GDT, 0x38);
    gdt.setBigUint64(USER_DATA & ~7, USER_DATA_DESCRIPTOR, true);
    gdt.setBigUint64(USER_CODE & ~7, USER_CODE_DESCRIPTOR, true);
    // Everything may be used at CPL3.
    const tables = new Uint32Array(
      memory.bytes(Layout.PAGE_TABLES, 6 * 4096).slice().buffer,
    );
    for (let i = 0; i < tables.length; i += 2) {
      if (tables[i]! & 1) tables[i]! |= 4;
    }
    memory.write(Layout.PAGE_TABLES, new Uint8Array(tables.buffer));
    const directory = memory.view(PAGE_DIRECTORIES, 4 * 4096);
    const entry = (address: number) => Math.floor(address / LARGE_PAGE) * 8;
    const data = directory.getBigUint64(entry(DATA), true);
    directory.setBigUint64(entry(READ_ONLY_DATA), data & ~2n, true);
    directory.setBigUint64(entry(UNMAPPED - 1), data, true);
    directory.setBigUint64(entry(UNMAPPED), 0n, true);
    const kernel = directory.getBigUint64(entry(KERNEL_CODE), true);
    directory.setBigUint64(entry(KERNEL_CODE), kernel & ~4n, true);
    // The TSS is at 0: RSP0.
    memory.view(4, 8).setBigUint64(0, BigInt(STACK), true);
    this.#writeHandlers();
  }

  /** Each handler stores to an address of its own. */
  #writeHandlers(): void {
    const INTERRUPT_GATE = 0x8e;
    for (let vector = 0; vector < VECTORS; vector++) {
      const handler = HANDLERS + vector * HANDLER_SIZE;
      const gate = this.memory.view(IDT + vector * 16, 16);
      gate.setUint16(0, handler & 0xffff, true);
      gate.setUint16(2, 0x10, true);
      gate.setUint8(5, INTERRUPT_GATE | (vector === 3 ? 0x60 : 0));
      gate.setUint16(6, handler >>> 16, true);
      const store = storeTo(DONE + HANDLER_SIZE + vector);
      this.memory.write(handler, Uint8Array.from(store));
    }
  }

  /** Gives everything back. */
  [Symbol.dispose](): void {
    this.#emulation[Symbol.dispose]();
    this.vcpu.close();
    this.vm.close();
    this.#kvm.close();
    this.memory.free();
  }
}

/** `mov [address], al`. */
function storeTo(address: number): number[] {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(address), true);
  return [0xa2, ...bytes];
}
