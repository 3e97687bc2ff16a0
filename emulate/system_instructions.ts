/**
 * Breakpoints, flags of the kernel's own, fences and cache hints, random
 * numbers, segment bases: what kernels use beside arithmetic (Intel SDM vol. 2).
 *
 * @module
 */
import { OpcodeMap } from "./decode.ts";
import {
  deviceNotAvailable,
  generalProtection,
  GuestFault,
  invalidOpcode,
  Vector,
} from "./fault.ts";
import type { Instruction } from "./instruction.ts";
import { inUse } from "./xsave.ts";
import { Flag, type StoppedCpu, toBigInt } from "./stopped_cpu.ts";

const ONE_BYTE = OpcodeMap.ONE_BYTE;
const M0F = OpcodeMap.M0F;

const CR0_MP = 1n << 1n;
const CR0_TS = 1n << 3n;
const CR0_NE = 1n << 5n;
const CR4_FSGSBASE = 1n << 16n;
const CR4_OSXSAVE = 1n << 18n;
const MSR_FS_BASE = 0xc000_0100;
const MSR_GS_BASE = 0xc000_0101;
const MSR_TSC_AUX = 0xc000_0103;

function nothing(): void {}

/** Waits for the x87 instruction before it: that is, raises its exception. */
function fwait(cpu: StoppedCpu): void {
  const cr0 = cpu.sregs.control("cr0");
  if (cr0 & CR0_MP && cr0 & CR0_TS) throw deviceNotAvailable();
  const STATUS = 2;
  const ERROR_SUMMARY = 0x80;
  const pending = cr0 & CR0_NE && cpu.vcpu.getXsave()[STATUS]! & ERROR_SUMMARY;
  if (pending) throw new GuestFault(Vector.X87);
}

/** Bytes that are all opcode: two after 0F, the second as a ModRM byte. */
function fixed(
  name: string,
  opcode: number,
  modrm: number,
  execute: (cpu: StoppedCpu) => void,
): Instruction {
  return {
    name,
    map: M0F,
    opcode,
    prefix: 0,
    form: "register",
    extension: modrm >> 3 & 7,
    rm: modrm & 7,
    execute,
  };
}

function requireKernel(cpu: StoppedCpu): void {
  if (cpu.cpl !== 0) throw invalidOpcode();
}

function clac(cpu: StoppedCpu): void {
  requireKernel(cpu);
  cpu.registers.rflags &= ~Flag.AC;
}

function stac(cpu: StoppedCpu): void {
  requireKernel(cpu);
  cpu.registers.rflags |= Flag.AC;
}

/** RDRAND and RDSEED: always successful. */
function random(cpu: StoppedCpu): void {
  const bytes = crypto.getRandomValues(new Uint8Array(cpu.bits / 8));
  cpu.setRegister(cpu.operands.rm, toBigInt(bytes));
  const none = { PF: false, AF: false, ZF: false, SF: false, OF: false };
  cpu.setFlags({ ...none, CF: true });
}

function rdpid(cpu: StoppedCpu): void {
  const aux = cpu.vcpu.getMsr(MSR_TSC_AUX);
  if (aux === undefined) throw invalidOpcode();
  cpu.setRegister(cpu.operands.rm, aux & 0xffff_ffffn, 64);
}

/** XCR0 or, with ECX = 1, those of its components that are in use. */
function xgetbv(cpu: StoppedCpu): void {
  if (!(cpu.sregs.control("cr4") & CR4_OSXSAVE)) throw invalidOpcode();
  const RAX = 0;
  const RCX = 1;
  const RDX = 2;
  const index = cpu.register(RCX, 32);
  if (index > 1n) throw generalProtection();
  const xcr0 = cpu.vcpu.getXcr0();
  const value = index === 0n ? xcr0 : xcr0 & inUse(cpu.vcpu.getXsave());
  cpu.setRegister(RAX, value & 0xffff_ffffn, 64);
  cpu.setRegister(RDX, value >> 32n, 64);
}

function requireFsGsBase(cpu: StoppedCpu): void {
  if (!(cpu.sregs.control("cr4") & CR4_FSGSBASE)) throw invalidOpcode();
}

function readBase(segment: "fs" | "gs"): (cpu: StoppedCpu) => void {
  return (cpu) => {
    requireFsGsBase(cpu);
    cpu.setRegister(cpu.operands.rm, cpu.sregs.segment(segment).base);
  };
}

function writeBase(msr: number): (cpu: StoppedCpu) => void {
  return (cpu) => {
    requireFsGsBase(cpu);
    // KVM refuses an address that isn't canonical, as the CPU does.
    const base = cpu.register(cpu.operands.rm);
    if (!cpu.vcpu.trySetMsr(msr, base)) throw generalProtection();
  };
}

/** RDFSBASE and its kin: F3 0F AE, a register. */
function base(
  name: string,
  extension: number,
  execute: (cpu: StoppedCpu) => void,
): Instruction {
  return {
    name,
    map: M0F,
    opcode: 0xae,
    prefix: 0xf3,
    form: "register",
    extension,
    execute,
  };
}

/** ZF: whether CPL may write to the segment that the selector names. */
function verw(cpu: StoppedCpu): void {
  const selector = Number(cpu.rm(16));
  cpu.setFlags({ ZF: isWritable(cpu, selector) });
}

/** Descriptor bytes of SDM vol. 3, figure 3-8. */
function isWritable(cpu: StoppedCpu, selector: number): boolean {
  const LDT = 4;
  const offset = selector & 0xfff8;
  if (offset === 0 && !(selector & LDT)) return false;
  const table = selector & LDT
    ? cpu.sregs.segment("ldt")
    : cpu.sregs.table("gdt");
  if (offset + 7 > table.limit) return false;
  const access = cpu.memory.read(table.base + BigInt(offset), 8)[5]!;
  const DATA_WRITABLE = 0b1_0010;
  const CODE = 0b0_1000;
  const level = access >> 5 & 3;
  const data = (access & (DATA_WRITABLE | CODE)) === DATA_WRITABLE;
  return data && level >= cpu.cpl && level >= (selector & 3);
}

/** Fences: any value of ModRM.rm. */
function fence(name: string, extension: number): Instruction {
  return {
    name,
    map: M0F,
    opcode: 0xae,
    prefix: 0,
    form: "register",
    extension,
    execute: nothing,
  };
}

/** Cache line instructions: the guest's caches are the host's, coherent. */
function cacheLine(
  name: string,
  prefix: number,
  extension: number,
): Instruction {
  return {
    name,
    map: M0F,
    opcode: 0xae,
    prefix,
    form: "memory",
    extension,
    // It faults like a load.
    execute: (cpu) => void cpu.memory.translate(cpu.address(), false),
  };
}

/** See the module's description. */
export const SYSTEM: readonly Instruction[] = [
  {
    name: "INT3",
    map: ONE_BYTE,
    opcode: 0xcc,
    modrm: false,
    execute: (cpu) => void (cpu.trap = Vector.BREAKPOINT),
  },
  {
    name: "FWAIT",
    map: ONE_BYTE,
    opcode: 0x9b,
    modrm: false,
    execute: fwait,
  },
  fixed("CLAC", 0x01, 0xca, clac),
  fixed("STAC", 0x01, 0xcb, stac),
  fixed("XGETBV", 0x01, 0xd0, xgetbv),
  fixed("SERIALIZE", 0x01, 0xe8, nothing),
  {
    name: "VERW",
    map: M0F,
    opcode: 0x00,
    extension: 5,
    execute: verw,
  },
  fence("LFENCE", 5),
  fence("MFENCE", 6),
  fence("SFENCE", 7),
  cacheLine("CLFLUSH", 0, 7),
  cacheLine("CLFLUSHOPT", 0x66, 7),
  cacheLine("CLWB", 0x66, 6),
  base("RDFSBASE", 0, readBase("fs")),
  base("RDGSBASE", 1, readBase("gs")),
  base("WRFSBASE", 2, writeBase(MSR_FS_BASE)),
  base("WRGSBASE", 3, writeBase(MSR_GS_BASE)),
  ...[0, 0x66].flatMap((prefix): Instruction[] => [
    {
      name: "RDRAND",
      map: M0F,
      opcode: 0xc7,
      prefix,
      extension: 6,
      form: "register",
      execute: random,
    },
    {
      name: "RDSEED",
      map: M0F,
      opcode: 0xc7,
      prefix,
      extension: 7,
      form: "register",
      execute: random,
    },
  ]),
  {
    name: "RDPID",
    map: M0F,
    opcode: 0xc7,
    prefix: 0xf3,
    extension: 7,
    form: "register",
    execute: rdpid,
  },
];
