/**
 * Takes the bytes of an instruction apart, as 64-bit mode reads them: prefixes,
 * REX, opcode, ModRM, SIB, displacement (Intel SDM vol. 2, chapter 2).
 *
 * @module
 */

/** Where the opcode was found: the byte sequence before it. */
export const OpcodeMap = { ONE_BYTE: 0, M0F: 1, M0F38: 2, M0F3A: 3 } as const;

/** The longest instruction, in bytes (SDM vol. 2, §2.3.11). */
export const INSTRUCTION_MAX = 15;

/** Prefixes and opcode: what says which instruction it is. */
export interface Opcode {
  /** One of {@linkcode OpcodeMap}. */
  readonly map: number;
  /** The opcode byte. */
  readonly byte: number;
  /** The prefix that is part of the opcode: 0xf3, 0xf2, 0x66, or 0. */
  readonly prefix: number;
  /** 0x66 was there, with or without another: operands of 16 bits. */
  readonly operand16: boolean;
  /** 0x67 was there: addresses of 32 bits. */
  readonly address32: boolean;
  /** LOCK. */
  readonly lock: boolean;
  /** REX.W: operands of 64 bits. */
  readonly wide: boolean;
  /** Bit 3 of ModRM.reg, SIB.index, and ModRM.rm or SIB.base. */
  readonly extend: { readonly reg: number; index: number; base: number };
  /** The segment whose base is added to an address. */
  readonly segment: "fs" | "gs" | undefined;
  /** Bytes so far. */
  readonly length: number;
}

/** An operand in memory: base + index * scale + displacement. */
export interface MemoryOperand {
  /** Number of the base register; undefined for none. */
  readonly base: number | undefined;
  /** Number of the index register; undefined for none. */
  readonly index: number | undefined;
  /** 1, 2, 4 or 8. */
  readonly scale: number;
  /** Sign-extended displacement. */
  readonly displacement: number;
  /** The displacement counts from the next instruction. */
  readonly ripRelative: boolean;
}

/** ModRM and what follows it. */
export interface Operands {
  /** ModRM.reg with its extension: a register. */
  readonly reg: number;
  /** ModRM.reg without: part of the opcode. */
  readonly extension: number;
  /** ModRM.rm with its extension, when it is a register. */
  readonly rm: number;
  /** ModRM.rm, when it is memory. */
  readonly memory: MemoryOperand | undefined;
  /** Bytes of the whole instruction. */
  readonly length: number;
}

/** More bytes of the instruction are needed than are there. */
export class TruncatedInstruction extends Error {
  /** The class's name. */
  override name = "TruncatedInstruction";
}

/** Reads bytes one after the other. */
class Reader {
  at: number;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.at = at;
  }

  peek(): number {
    const byte = this.#bytes[this.at];
    if (byte === undefined || this.at >= INSTRUCTION_MAX) {
      throw new TruncatedInstruction();
    }
    return byte;
  }

  u8(): number {
    const byte = this.peek();
    this.at++;
    return byte;
  }

  i8(): number {
    return this.u8() << 24 >> 24;
  }

  i32(): number {
    return this.u8() | this.u8() << 8 | this.u8() << 16 | this.u8() << 24;
  }
}

/**
 * Reads prefixes and opcode.
 *
 * @throws {TruncatedInstruction} when `bytes` end before
 */
export function decodeOpcode(bytes: Uint8Array): Opcode {
  const reader = new Reader(bytes);
  let operand16 = false;
  let address32 = false;
  let lock = false;
  let repeat = 0;
  let segment: "fs" | "gs" | undefined;
  let rex = 0;
  for (;;) {
    const byte = reader.peek();
    if ((byte & 0xf0) === 0x40) {
      // A REX that another prefix follows has no effect.
      rex = byte;
      reader.at++;
      continue;
    }
    if (byte === 0x66) operand16 = true;
    else if (byte === 0x67) address32 = true;
    else if (byte === 0xf0) lock = true;
    else if (byte === 0xf2 || byte === 0xf3) repeat = byte;
    else if (byte === 0x64) segment = "fs";
    else if (byte === 0x65) segment = "gs";
    else if (![0x26, 0x2e, 0x36, 0x3e].includes(byte)) break;
    rex = 0;
    reader.at++;
  }
  const legacy = { operand16, address32, lock, segment };
  const first = reader.u8();
  const prefix = repeat || (operand16 ? 0x66 : 0);
  let map: number = OpcodeMap.ONE_BYTE;
  let byte = first;
  if (byte === 0x0f) {
    map = OpcodeMap.M0F;
    byte = reader.u8();
    if (byte === 0x38 || byte === 0x3a) {
      map = byte === 0x38 ? OpcodeMap.M0F38 : OpcodeMap.M0F3A;
      byte = reader.u8();
    }
  }
  return {
    ...legacy,
    map,
    byte,
    prefix,
    wide: (rex & 8) !== 0,
    extend: { reg: rex << 1 & 8, index: rex << 2 & 8, base: rex << 3 & 8 },
    length: reader.at,
  };
}

/**
 * Reads ModRM and what follows it.
 *
 * @throws {TruncatedInstruction} when `bytes` end before
 */
export function decodeOperands(
  bytes: Uint8Array,
  opcode: Opcode,
): Operands {
  const reader = new Reader(bytes, opcode.length);
  const modrm = reader.u8();
  const mod = modrm >> 6;
  const rm = modrm & 7;
  const memory = mod === 3 ? undefined : memoryOperand(reader, opcode, mod, rm);
  return {
    reg: modrm >> 3 & 7 | opcode.extend.reg,
    extension: modrm >> 3 & 7,
    rm: rm | opcode.extend.base,
    memory,
    length: reader.at,
  };
}

/** Tables 2-2 and 2-3; §2.2.1.6 for RIP. */
function memoryOperand(
  reader: Reader,
  { extend }: Opcode,
  mod: number,
  rm: number,
): MemoryOperand {
  const SIB = 4;
  const NO_BASE = 5;
  const NO_INDEX = 4;
  let low = rm;
  let index: number | undefined;
  let scale = 1;
  if (rm === SIB) {
    const sib = reader.u8();
    low = sib & 7;
    const number = sib >> 3 & 7 | extend.index;
    if (number !== NO_INDEX) index = number;
    scale = 1 << (sib >> 6);
  }
  const noBase = mod === 0 && low === NO_BASE;
  let displacement = 0;
  if (mod === 1) displacement = reader.i8();
  else if (mod === 2 || noBase) displacement = reader.i32();
  return {
    base: noBase ? undefined : low | extend.base,
    index,
    scale,
    displacement,
    ripRelative: noBase && rm !== SIB,
  };
}
