/**
 * A guest of a few bytes, to ask a host questions: long mode, CPL0 and CPL3,
 * every exception reported, and never without a time limit.
 *
 * @module
 */
import { KickTimer } from "../ffi/kvm/kick_timer.ts";
import type { Kvm, Vm } from "../ffi/kvm/kvm.ts";
import { Exit, exitName } from "../ffi/kvm/run.ts";
import type { Registers, SpecialRegisters } from "../ffi/kvm/registers.ts";
import { Mapping } from "../ffi/memory/mmap.ts";
import { type Vcpu, wasKicked } from "../ffi/kvm/vcpu.ts";
import { Layout } from "../guest/layout.ts";
import { ControlBit } from "../guest/boot/long_mode.ts";
import { GuestMemory } from "../guest/memory.ts";
import { vcpuCpuid } from "../guest/boot/cpuid.ts";
import { Msr } from "../ffi/kvm/msr.ts";
import { RefusedInstructions } from "../emulate/mod.ts";

/** Guest addresses, one page each; virtual is physical, but for MMIO. */
const At = {
  GDT: 0x1000,
  IDT: 0x2000,
  HANDLERS: 0x2800,
  TSS: 0x3000,
  PML4: 0x4000,
  PDPT: 0x5000,
  DIRECTORY: 0x6000,
  TABLE: 0x7000,
  KERNEL: 0x8000,
  SYSCALL: 0x8800,
  IRETQ: 0x8900,
  USER: 0x9000,
  KERNEL_STACK: 0xb000,
  USER_STACK: 0xd000,
  DATA: 0xe000,
  END: 0x1_0000,
} as const;

/** Where a guest finds 4 KiB of MMIO, and where those are. */
export const TINY_MMIO = { virtual: 0x1f_0000, physical: 0xd000_0000 } as const;
/** A page of data for instructions with an operand; RDI points there. */
export const TINY_DATA: number = At.DATA;
/** Where SYSCALL goes; CPL3 may not go there by itself. */
export const SYSCALL_ENTRY: number = At.SYSCALL;
/** What the entry point of SYSCALL reports instead of a vector. */
export const SYSCALL_ARRIVED = 0xff;

/** The port where handlers report their vector. */
const REPORT_PORT = 0xf1;
const VECTORS = 32;
const HANDLER_SIZE = 8;
const HLT = 0xf4;

/** As Linux and SYSRET have them: 32-bit user code would be 0x20. */
const Gdt = { CODE: 0x10, DATA: 0x18, USER_DATA: 0x28, USER_CODE: 0x30 };
const TASK = 0x40;
const DESCRIPTORS: readonly (readonly [selector: number, value: bigint])[] = [
  [Gdt.CODE, 0x00af_9b00_0000_ffffn],
  [Gdt.DATA, 0x00cf_9300_0000_ffffn],
  [Gdt.USER_DATA, 0x00cf_f300_0000_ffffn],
  [Gdt.USER_CODE, 0x00af_fb00_0000_ffffn],
];
const TASK_SIZE = 104;
const TASK_IO_BITMAP = 102;
/** Ports below 0x1000 are open to CPL3, and the closing byte. */
const IO_BITMAP_SIZE = 0x1000 / 8 + 1;

const Pte = { PRESENT: 1n, WRITABLE: 2n, USER: 4n } as const;
const CR4_OSFXSR = 1n << 9n;
const CR4_OSXMMEXCPT = 1n << 10n;
const CR4_OSXSAVE = 1n << 18n;
/** `cpuid; hlt` */
const CPUID = [0x0f, 0xa2, HLT];
const CPUID_XSAVE = 1n << 26n;
/** Milliseconds; a busy host may take some. */
const PATIENCE = 2000;
const EFER_SCE = 1n;
const USER = 3;
const RFLAGS_RESERVED = 2n;

/** How a run of a tiny guest ended. */
export type TinyEnd =
  /** HLT at CPL0. */
  | { kind: "halt" }
  /** An exception, or {@linkcode SYSCALL_ARRIVED}; CR2 is of a #PF. */
  | { kind: "vector"; vector: number; cr2: number }
  /** KVM's emulator refused an instruction. */
  | { kind: "refused" }
  /** The time was over. */
  | { kind: "timeout" }
  /** Another exit, which nothing here expects. */
  | { kind: "other"; exit: string };

/** One guest; make a new one for each question. */
export class TinyGuest implements Disposable {
  /** The VM, for ioeventfds. */
  readonly vm: Vm;
  /** The guest's exits so far that were for a device: PIO and MMIO. */
  exits = 0;
  readonly #stack = new DisposableStack();
  readonly #ram: Mapping;
  readonly #vcpu: Vcpu;
  readonly #emulation: RefusedInstructions;
  readonly #timer: KickTimer;
  readonly #sregs: SpecialRegisters;

  /** A guest without code. */
  constructor(kvm: Kvm) {
    using undo = this.#stack;
    this.#ram = undo.use(new Mapping(At.END, { name: "a tiny guest" }));
    this.vm = undo.use(kvm.createVm());
    this.vm.setTssAddr(Layout.TSS);
    this.vm.setIdentityMapAddr(Layout.IDENTITY_MAP);
    this.vm.exitOnEmulationFailure();
    const { size, address: hostAddress } = this.#ram;
    this.vm.setUserMemoryRegion(0, 0, size, hostAddress);
    this.#vcpu = undo.use(this.vm.createVcpu(0));
    const memory = () =>
      GuestMemory.attach([{ guestAddress: 0, size, hostAddress }]);
    this.#emulation = undo.use(new RefusedInstructions(this.#vcpu, memory));
    this.#timer = undo.use(new KickTimer());
    this.#vcpu.setSignalMask();
    const cpuid = vcpuCpuid(kvm.getSupportedCpuid(), { cpu: 0, cpus: 1 });
    this.#vcpu.setCpuid2(cpuid);
    this.#writeTables();
    this.#sregs = this.#specialRegisters();
    this.#vcpu.setFpu();
    this.#vcpu.setMsrs([
      [Msr.STAR, BigInt(Gdt.CODE) << 32n | BigInt(0x20 | USER) << 48n],
      [Msr.LSTAR, BigInt(At.SYSCALL)],
      [Msr.SYSCALL_MASK, 0x700n],
    ]);
    this.#useXsave();
    this.#stack = undo.move();
  }

  /** Runs `code` at CPL0 for at most `milliseconds`. */
  runKernel(
    code: readonly number[],
    milliseconds: number,
    registers: Partial<Registers> = {},
  ): TinyEnd {
    new Uint8Array(this.#ram.buffer).set(code, At.KERNEL);
    return this.#run(At.KERNEL, At.KERNEL_STACK, milliseconds, registers);
  }

  /** Runs `code` at CPL3 for at most `milliseconds`. */
  runUser(
    code: readonly number[],
    milliseconds: number,
    registers: Partial<Registers> = {},
  ): TinyEnd {
    const bytes = new Uint8Array(this.#ram.buffer);
    bytes.set(code, At.USER);
    bytes.set([0x48, 0xcf], At.IRETQ);
    const frame = At.KERNEL_STACK - 5 * 8;
    const view = new DataView(this.#ram.buffer);
    [
      At.USER,
      Gdt.USER_CODE | USER,
      Number(RFLAGS_RESERVED),
      At.USER_STACK,
      Gdt.USER_DATA | USER,
    ].forEach((value, i) =>
      view.setBigUint64(frame + i * 8, BigInt(value), true)
    );
    return this.#run(At.IRETQ, frame, milliseconds, registers);
  }

  /**
   * After `refused`: has Vireo carry out what KVM refused, and goes on for at
   * most `milliseconds`. `refused` again when Vireo can't do it either.
   */
  carryOut(milliseconds: number): TinyEnd {
    return this.#emulation.refused() === "handled"
      ? this.#untilEnd(milliseconds)
      : { kind: "refused" };
  }

  /** The general registers, as the last run left them. */
  get registers(): Registers {
    return this.#vcpu.getRegs();
  }

  /** Frees all of it. */
  [Symbol.dispose](): void {
    this.#stack.dispose();
  }

  #run(
    rip: number,
    rsp: number,
    milliseconds: number,
    registers: Partial<Registers>,
  ): TinyEnd {
    this.#vcpu.setSregs(this.#sregs); // the last run may have ended at CPL3
    this.#vcpu.setRegs({
      rdi: BigInt(TINY_DATA),
      ...registers,
      rip: BigInt(rip),
      rsp: BigInt(rsp),
      rflags: RFLAGS_RESERVED,
    });
    return this.#untilEnd(milliseconds);
  }

  #untilEnd(milliseconds: number): TinyEnd {
    this.#timer.set(milliseconds);
    try {
      return this.#end();
    } finally {
      this.#timer.set(0);
    }
  }

  #end(): TinyEnd {
    const { run } = this.#vcpu;
    for (;;) {
      const code = this.#vcpu.enter();
      if (wasKicked(code)) return { kind: "timeout" };
      if (code !== 0) return { kind: "other", exit: `errno ${code}` };
      switch (run.exitReason) {
        case Exit.HLT:
          return { kind: "halt" };
        case Exit.INTERNAL_ERROR:
          return { kind: "refused" };
        case Exit.MMIO:
          this.exits++;
          break;
        case Exit.IO:
          if (run.ioPort === REPORT_PORT) return this.#vector();
          this.exits++;
          break;
        default:
          return { kind: "other", exit: exitName(run.exitReason) };
      }
    }
  }

  #vector(): TinyEnd {
    const { run } = this.#vcpu;
    const vector = run.u8[run.ioDataOffset]!;
    return {
      kind: "vector",
      vector,
      cr2: Number(this.#vcpu.getSregs().control("cr2")),
    };
  }

  #writeTables(): void {
    const view = new DataView(this.#ram.buffer);
    const bytes = new Uint8Array(this.#ram.buffer);
    for (const [selector, value] of DESCRIPTORS) {
      view.setBigUint64(At.GDT + selector, value, true);
    }
    const limit = TASK_SIZE + IO_BITMAP_SIZE - 1;
    const task = 0x8b00n << 32n | BigInt(At.TSS) << 16n | BigInt(limit);
    view.setBigUint64(At.GDT + TASK, task, true);
    view.setBigUint64(At.TSS + 4, BigInt(At.KERNEL_STACK), true);
    view.setUint16(At.TSS + TASK_IO_BITMAP, TASK_SIZE, true);
    bytes[At.TSS + TASK_SIZE + IO_BITMAP_SIZE - 1] = 0xff;

    // mov al, vector; out REPORT_PORT, al; hlt
    const report = (vector: number) => [0xb0, vector, 0xe6, REPORT_PORT, HLT];
    for (let vector = 0; vector < VECTORS; vector++) {
      const handler = At.HANDLERS + vector * HANDLER_SIZE;
      bytes.set(report(vector), handler);
      // An interrupt gate; INT3 may come from CPL3.
      const gate = BigInt(handler) | BigInt(Gdt.CODE) << 16n |
        0xee00n << 32n;
      view.setBigUint64(At.IDT + vector * 16, gate, true);
    }
    bytes.set(report(SYSCALL_ARRIVED), At.SYSCALL);
    this.#writePageTables(view);
  }

  #writePageTables(view: DataView): void {
    const all = Pte.PRESENT | Pte.WRITABLE | Pte.USER;
    const link = (table: number, to: number) =>
      view.setBigUint64(table, BigInt(to) | all, true);
    link(At.PML4, At.PDPT);
    link(At.PDPT, At.DIRECTORY);
    link(At.DIRECTORY, At.TABLE);
    const page = (address: number, to: number, user: boolean) => {
      const bits = Pte.PRESENT | Pte.WRITABLE | (user ? Pte.USER : 0n);
      view.setBigUint64(
        At.TABLE + (address >> 12) * 8,
        BigInt(to) | bits,
        true,
      );
    };
    const ofUser = [At.USER, At.USER_STACK - 0x1000];
    for (let address = 0; address < At.END; address += 0x1000) {
      page(address, address, ofUser.includes(address));
    }
    page(TINY_MMIO.virtual, TINY_MMIO.physical, true);
  }

  /**
   * As a kernel does, when CPUID lists it. Where KVM emulates CPL0, that may
   * be more than what KVM was told to list.
   */
  #useXsave(): void {
    this.runKernel(CPUID, PATIENCE, { rax: 1n });
    if (!(this.registers.rcx & CPUID_XSAVE)) return;
    const cr4 = this.#sregs.control("cr4");
    this.#sregs.setControl("cr4", cr4 | CR4_OSXSAVE);
  }

  #specialRegisters(): SpecialRegisters {
    const sregs = this.#vcpu.getSregs();
    const flat = { base: 0n, limit: 0xffff_ffff, present: 1, dpl: 0, g: 1 };
    const code = { ...flat, selector: Gdt.CODE, type: 11, s: 1, db: 0, l: 1 };
    const data = { ...flat, selector: Gdt.DATA, type: 3, s: 1, db: 1, l: 0 };
    sregs.setSegment("cs", code);
    for (const name of ["ds", "es", "fs", "gs", "ss"] as const) {
      sregs.setSegment(name, data);
    }
    sregs.setSegment("tr", {
      ...{ ...flat, base: BigInt(At.TSS), g: 0, selector: TASK },
      ...{ limit: TASK_SIZE + IO_BITMAP_SIZE - 1, type: 11, s: 0, db: 0, l: 0 },
    });
    sregs.setTable("gdt", BigInt(At.GDT), TASK + 15);
    sregs.setTable("idt", BigInt(At.IDT), VECTORS * 16 - 1);
    const { CR0_PE, CR0_MP, CR0_ET, CR0_NE, CR0_WP, CR0_PG } = ControlBit;
    const cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    sregs.setControl("cr0", cr0);
    sregs.setControl("cr3", BigInt(At.PML4));
    sregs.setControl("cr4", ControlBit.CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT);
    const { EFER_LME, EFER_LMA } = ControlBit;
    sregs.setControl("efer", EFER_SCE | EFER_LME | EFER_LMA);
    return sregs;
  }
}
