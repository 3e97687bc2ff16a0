/**
 * The register structures of the KVM API (§4.11 to §4.13): `struct kvm_regs`
 * and `struct kvm_sregs` as bytes with named fields.
 *
 * @module
 */

/** In the order of `struct kvm_regs`. */
export const REGISTER_NAMES = [
  "rax",
  "rbx",
  "rcx",
  "rdx",
  "rsi",
  "rdi",
  "rsp",
  "rbp",
  "r8",
  "r9",
  "r10",
  "r11",
  "r12",
  "r13",
  "r14",
  "r15",
  "rip",
  "rflags",
] as const satisfies readonly RegisterName[];

/** A general register in `struct kvm_regs`. */
export type RegisterName =
  | "rax"
  | "rbx"
  | "rcx"
  | "rdx"
  | "rsi"
  | "rdi"
  | "rsp"
  | "rbp"
  | "r8"
  | "r9"
  | "r10"
  | "r11"
  | "r12"
  | "r13"
  | "r14"
  | "r15"
  | "rip"
  | "rflags";

/** The general registers, RIP and RFLAGS: 64-bit values as bigints. */
export type Registers = Record<RegisterName, bigint>;

/** `sizeof(struct kvm_regs)`. */
export const REGS_SIZE = REGISTER_NAMES.length * 8;

/** Reads `struct kvm_regs`. */
export function decodeRegisters(view: DataView): Registers {
  const registers = {} as Registers;
  REGISTER_NAMES.forEach((name, index) => {
    registers[name] = view.getBigUint64(index * 8, true);
  });
  return registers;
}

/** Writes `struct kvm_regs`; registers that are left out become 0. */
export function encodeRegisters(
  view: DataView,
  registers: Partial<Registers>,
): void {
  REGISTER_NAMES.forEach((name, index) => {
    view.setBigUint64(index * 8, registers[name] ?? 0n, true);
  });
}

/** A segment register as KVM sees it: `struct kvm_segment`. */
export interface Segment {
  /** Base address. */
  base: bigint;
  /** Limit in bytes, already scaled by the granularity. */
  limit: number;
  /** The selector. */
  selector: number;
  /** The descriptor's type, 4 bits. */
  type: number;
  /** Present. */
  present: number;
  /** Descriptor privilege level. */
  dpl: number;
  /** Default operation size 32 bit. */
  db: number;
  /** Code or data, not system. */
  s: number;
  /** 64-bit code. */
  l: number;
  /** Granularity 4 KiB. */
  g: number;
}

const SEGMENT_SIZE = 24;
/** A segment register in `struct kvm_sregs`. */
export type SegmentName =
  | "cs"
  | "ds"
  | "es"
  | "fs"
  | "gs"
  | "ss"
  | "tr"
  | "ldt";
/** A descriptor table register in `struct kvm_sregs`. */
export type TableName = "gdt" | "idt";
/** A control register, EFER or the APIC base in `struct kvm_sregs`. */
export type ControlName =
  | "cr0"
  | "cr2"
  | "cr3"
  | "cr4"
  | "cr8"
  | "efer"
  | "apicBase";

const SEGMENTS: readonly SegmentName[] = [
  "cs",
  "ds",
  "es",
  "fs",
  "gs",
  "ss",
  "tr",
  "ldt",
];
const TABLES_OFFSET = SEGMENTS.length * SEGMENT_SIZE;
const TABLES: readonly TableName[] = ["gdt", "idt"];
const CONTROL_OFFSET = TABLES_OFFSET + 2 * 16;
const CONTROLS: readonly ControlName[] = [
  "cr0",
  "cr2",
  "cr3",
  "cr4",
  "cr8",
  "efer",
  "apicBase",
];

/** `sizeof(struct kvm_sregs)`: the above and a 256-bit interrupt bitmap. */
export const SREGS_SIZE: number = CONTROL_OFFSET + CONTROLS.length * 8 + 32;

/** `struct kvm_sregs`: segments, descriptor tables, control registers. */
export class SpecialRegisters {
  /** The structure as KVM reads and writes it. */
  readonly bytes: Uint8Array<ArrayBuffer> = new Uint8Array(SREGS_SIZE);
  readonly #view = new DataView(this.bytes.buffer);

  /** Reads one segment register. */
  segment(name: SegmentName): Segment {
    const at = SEGMENTS.indexOf(name) * SEGMENT_SIZE;
    const byte = (offset: number) => this.#view.getUint8(at + offset);
    return {
      base: this.#view.getBigUint64(at, true),
      limit: this.#view.getUint32(at + 8, true),
      selector: this.#view.getUint16(at + 12, true),
      type: byte(14),
      present: byte(15),
      dpl: byte(16),
      db: byte(17),
      s: byte(18),
      l: byte(19),
      g: byte(20),
    };
  }

  /** Writes one segment register. */
  setSegment(name: SegmentName, segment: Segment): void {
    const at = SEGMENTS.indexOf(name) * SEGMENT_SIZE;
    const view = this.#view;
    view.setBigUint64(at, segment.base, true);
    view.setUint32(at + 8, segment.limit, true);
    view.setUint16(at + 12, segment.selector, true);
    const { type, present, dpl, db, s, l, g } = segment;
    [type, present, dpl, db, s, l, g, 0, present ? 0 : 1].forEach(
      (value, index) => view.setUint8(at + 14 + index, value),
    );
  }

  /** Sets the base and limit of the GDT or IDT. */
  setTable(name: TableName, base: bigint, limit: number): void {
    const at = TABLES_OFFSET + TABLES.indexOf(name) * 16;
    this.#view.setBigUint64(at, base, true);
    this.#view.setUint16(at + 8, limit, true);
  }

  /** Base and limit of the GDT or IDT. */
  table(name: TableName): { base: bigint; limit: number } {
    const at = TABLES_OFFSET + TABLES.indexOf(name) * 16;
    return {
      base: this.#view.getBigUint64(at, true),
      limit: this.#view.getUint16(at + 8, true),
    };
  }

  /** Reads a control register, EFER or the APIC base. */
  control(name: ControlName): bigint {
    const at = CONTROL_OFFSET + CONTROLS.indexOf(name) * 8;
    return this.#view.getBigUint64(at, true);
  }

  /** Writes a control register, EFER or the APIC base. */
  setControl(name: ControlName, value: bigint): void {
    const at = CONTROL_OFFSET + CONTROLS.indexOf(name) * 8;
    this.#view.setBigUint64(at, value, true);
  }
}
