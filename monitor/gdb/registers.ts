/**
 * A vCPU's registers as gdb has them: which there are, in what order, and where
 * each is in what KVM gives.
 *
 * @module
 */
import {
  type ControlName,
  type RegisterName,
  type Registers,
  type SegmentName,
  type SpecialRegisters,
} from "../../ffi/kvm/registers.ts";

/** All that registers are read from, and written to. */
export interface RegisterFile {
  /** General registers, RIP, RFLAGS. */
  general: Registers;
  /** Segments, tables, control registers. */
  special: SpecialRegisters;
  /** x87, SSE, AVX: in XSAVE's standard format. */
  xsave: Uint8Array<ArrayBuffer>;
  /** `IA32_KERNEL_GS_BASE` */
  kernelGsBase: bigint;
}

/** One of gdb's registers. */
export interface GdbRegister {
  /** gdb's name for it. */
  name: string;
  /** Its size. */
  bits: number;
  /** gdb's type; default: an integer. */
  type?: string;
  /** gdb's group, where the type doesn't say it. */
  group?: string;
  /** Little-endian. */
  read(file: RegisterFile): Uint8Array;
  /** Undefined: it can't be set. */
  write?(file: RegisterFile, bytes: Uint8Array): void;
}

/** A group of registers that gdb knows together. */
export interface GdbFeature {
  /** gdb's name for it. */
  name: string;
  /** Its registers, in order. */
  registers: GdbRegister[];
}

/** gdb's order is the one of struct user, not that of KVM. */
const GENERAL: readonly RegisterName[] = [
  ...["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp"] as const,
  ...["r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"] as const,
  "rip",
];
const SEGMENTS: readonly SegmentName[] = ["cs", "ss", "ds", "es", "fs", "gs"];
const CONTROLS: readonly ControlName[] = [
  ...["cr0", "cr2", "cr3", "cr4", "cr8", "efer"] as const,
];

/** Offsets in the XSAVE area (SDM vol. 1, §10.5.1 and §13.4). */
const Xsave = {
  FCW: 0,
  FSW: 2,
  FTW: 4,
  FOP: 6,
  FIP: 8,
  FDP: 16,
  MXCSR: 24,
  ST0: 32,
  XMM0: 160,
  XSTATE_BV: 512,
  YMMH: 576,
} as const;
const FCW_INIT = 0x37f;
const MXCSR_INIT = 0x1f80;
const X87 = 1;
const SSE = 2;
const AVX = 4;

function little(value: bigint, bits: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(bits, value), true);
  return bytes.subarray(0, bits / 8);
}

/** A little-endian number. */
export function numberOf(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => value << 8n | BigInt(byte), 0n);
}

function general(name: RegisterName): GdbRegister {
  return {
    name,
    bits: 64,
    type: name === "rip"
      ? "code_ptr"
      : name === "rsp" || name === "rbp"
      ? "data_ptr"
      : "int64",
    read: ({ general }) => little(general[name], 64),
    write: ({ general }, bytes) => void (general[name] = numberOf(bytes)),
  };
}

const EFLAGS: GdbRegister = {
  name: "eflags",
  bits: 32,
  type: "i386_eflags",
  read: ({ general }) => little(general.rflags, 32),
  write: ({ general }, bytes) => void (general.rflags = numberOf(bytes)),
};

/** A selector alone makes no segment: it can't be set. */
function segment(name: SegmentName): GdbRegister {
  return {
    name,
    bits: 32,
    type: "int32",
    read: ({ special }) => little(BigInt(special.segment(name).selector), 32),
  };
}

function base(name: "fs" | "gs"): GdbRegister {
  return {
    name: `${name}_base`,
    bits: 64,
    type: "int",
    read: ({ special }) => little(special.segment(name).base, 64),
    write({ special }, bytes) {
      special.setSegment(name, {
        ...special.segment(name),
        base: numberOf(bytes),
      });
    },
  };
}

function control(name: ControlName): GdbRegister {
  return {
    name,
    bits: 64,
    group: "system",
    read: ({ special }) => little(special.control(name), 64),
    write: ({ special }, bytes) => special.setControl(name, numberOf(bytes)),
  };
}

function table(name: "gdt" | "idt"): GdbRegister {
  return {
    name: `${name}_base`,
    bits: 64,
    group: "system",
    read: ({ special }) => little(special.table(name).base, 64),
  };
}

const KERNEL_GS_BASE: GdbRegister = {
  name: "k_gs_base",
  bits: 64,
  group: "system",
  read: ({ kernelGsBase }) => little(kernelGsBase, 64),
  write: (file, bytes) => void (file.kernelGsBase = numberOf(bytes)),
};

/** Bytes of the XSAVE area, of a component that may be in its first state. */
function extended(
  register: Omit<GdbRegister, "read" | "write">,
  component: number,
  offset: number,
  first = 0,
): GdbRegister {
  const length = register.bits / 8;
  return {
    ...register,
    read({ xsave }) {
      if (xsave[Xsave.XSTATE_BV]! & component) {
        return xsave.slice(offset, offset + length);
      }
      const bytes = new Uint8Array(length);
      bytes.set(little(BigInt(first), 32).subarray(0, length));
      return bytes;
    },
    write({ xsave }, bytes) {
      if (!(xsave[Xsave.XSTATE_BV]! & component)) enter(xsave, component);
      xsave.set(bytes, offset);
    },
  };
}

/** A component that has been in its first state has that in the area from now on. */
function enter(xsave: Uint8Array, component: number): void {
  const view = new DataView(xsave.buffer);
  if (component & X87) {
    xsave.fill(0, 0, Xsave.MXCSR);
    xsave.fill(0, Xsave.ST0, Xsave.XMM0);
    view.setUint16(Xsave.FCW, FCW_INIT, true);
  }
  if (component & SSE) {
    xsave.fill(0, Xsave.XMM0, Xsave.XMM0 + 256);
    view.setUint32(Xsave.MXCSR, MXCSR_INIT, true);
  }
  if (component & AVX) xsave.fill(0, Xsave.YMMH, Xsave.YMMH + 256);
  xsave[Xsave.XSTATE_BV]! |= component;
}

/** A word of the x87's, of 32 bits as gdb has it. */
function x87(
  name: string,
  offset: number,
  bytes: 0 | 2 | 4,
  first = 0,
): GdbRegister {
  const part = extended({ name, bits: bytes * 8 }, X87, offset, first);
  return {
    name,
    bits: 32,
    group: "float",
    type: "int",
    read(file) {
      const word = new Uint8Array(4);
      if (bytes > 0) word.set(part.read(file));
      return word;
    },
    ...(bytes > 0 && {
      write: (file: RegisterFile, value: Uint8Array) =>
        part.write!(file, value.subarray(0, bytes)),
    }),
  };
}

/** gdb's has two bits for each register, FXSAVE's one: empty or not. */
const FTAG: GdbRegister = {
  ...x87("ftag", Xsave.FTW, 0),
  read({ xsave }) {
    const used = xsave[Xsave.XSTATE_BV]! & X87 ? xsave[Xsave.FTW]! : 0;
    let tags = 0;
    for (let i = 0; i < 8; i++) if (!(used >> i & 1)) tags |= 3 << 2 * i;
    return little(BigInt(tags), 32);
  },
};

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);

/** All of them, in gdb's order. */
export const FEATURES: readonly GdbFeature[] = [
  {
    name: "org.gnu.gdb.i386.core",
    registers: [
      ...GENERAL.map(general),
      EFLAGS,
      ...SEGMENTS.map(segment),
      ...numbers(8).map((i) =>
        extended(
          { name: `st${i}`, bits: 80, type: "i387_ext" },
          X87,
          Xsave.ST0 + 16 * i,
        )
      ),
      x87("fctrl", Xsave.FCW, 2, FCW_INIT),
      x87("fstat", Xsave.FSW, 2),
      FTAG,
      x87("fiseg", 0, 0),
      x87("fioff", Xsave.FIP, 4),
      x87("foseg", 0, 0),
      x87("fooff", Xsave.FDP, 4),
      x87("fop", Xsave.FOP, 2),
    ],
  },
  {
    name: "org.gnu.gdb.i386.sse",
    registers: [
      ...numbers(16).map((i) =>
        extended(
          { name: `xmm${i}`, bits: 128, type: "vec128" },
          SSE,
          Xsave.XMM0 + 16 * i,
        )
      ),
      extended(
        { name: "mxcsr", bits: 32, type: "int", group: "vector" },
        SSE | AVX,
        Xsave.MXCSR,
        MXCSR_INIT,
      ),
    ],
  },
  {
    name: "org.gnu.gdb.i386.segments",
    registers: [base("fs"), base("gs")],
  },
  {
    name: "org.gnu.gdb.i386.avx",
    registers: numbers(16).map((i) =>
      extended(
        { name: `ymm${i}h`, bits: 128, type: "uint128" },
        AVX,
        Xsave.YMMH + 16 * i,
      )
    ),
  },
  {
    name: "org.vireo.system",
    registers: [
      KERNEL_GS_BASE,
      ...CONTROLS.map(control),
      table("gdt"),
      table("idt"),
    ],
  },
];

/** The same in a row: a register's index is its number. */
export const GDB_REGISTERS: readonly GdbRegister[] = FEATURES.flatMap(
  ({ registers }) => registers,
);
