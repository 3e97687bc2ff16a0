/**
 * POPCNT, MOVBE, CRC32, ADCX, ADOX: general registers, no VEX (Intel SDM
 * vol. 2). LZCNT and TZCNT never come here: KVM's emulator takes them for BSR
 * and BSF, of which they are the encodings with a prefix.
 *
 * @module
 */
import { OpcodeMap } from "./decode.ts";
import type { Instruction } from "./instruction.ts";
import { type StoppedCpu, toBigInt, toBytes } from "./stopped_cpu.ts";

/** The number of bits that are 1. */
export function populationCount(value: bigint): number {
  let count = 0;
  for (; value !== 0n; value &= value - 1n) count++;
  return count;
}

/** CRC-32C polynomial (Castagnoli), bits reflected. */
const CRC32C = 0x82f6_3b78;

/** CRC32's accumulator after some bytes: no inversion before or after. */
export function crc32c(accumulator: number, bytes: Uint8Array): number {
  let crc = accumulator >>> 0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) {
      crc = (crc & 1 ? (crc >>> 1) ^ CRC32C : crc >>> 1) >>> 0;
    }
  }
  return crc >>> 0;
}

function popcnt(cpu: StoppedCpu): void {
  const source = cpu.rm();
  cpu.setRegister(cpu.operands.reg, BigInt(populationCount(source)));
  const none = { CF: false, PF: false, AF: false, SF: false, OF: false };
  cpu.setFlags({ ...none, ZF: source === 0n });
}

function movbeLoad(cpu: StoppedCpu): void {
  const bytes = cpu.load(cpu.bits / 8).reverse();
  cpu.setRegister(cpu.operands.reg, toBigInt(bytes));
}

function movbeStore(cpu: StoppedCpu): void {
  const value = cpu.register(cpu.operands.reg);
  cpu.store(toBytes(value, cpu.bits / 8).reverse());
}

/** The destination is 32 or 64 bits, whatever the source is. */
function crc32(bytesOf: (cpu: StoppedCpu) => number) {
  return (cpu: StoppedCpu): void => {
    const { reg } = cpu.operands;
    const length = bytesOf(cpu);
    const source = toBytes(cpu.rm(length * 8), length);
    const crc = crc32c(Number(cpu.register(reg, 32)), source);
    cpu.setRegister(reg, BigInt(crc), 64);
  };
}

function addWithFlag(flag: "CF" | "OF", bit: bigint) {
  return (cpu: StoppedCpu): void => {
    const bits = cpu.opcode.wide ? 64 : 32;
    const carry = cpu.registers.rflags >> bit & 1n;
    const { reg } = cpu.operands;
    const sum = cpu.register(reg, bits) + cpu.rm(bits) + carry;
    cpu.setRegister(reg, sum, bits);
    cpu.setFlags({ [flag]: sum >> BigInt(bits) !== 0n });
  };
}

const M0F38 = OpcodeMap.M0F38;
const M0F = OpcodeMap.M0F;

/** See the module's description. */
export const BIT_COUNTS: readonly Instruction[] = [
  { name: "POPCNT", map: M0F, opcode: 0xb8, prefix: 0xf3, execute: popcnt },
  ...[0, 0x66].flatMap((prefix): Instruction[] => [
    {
      name: "MOVBE",
      map: M0F38,
      opcode: 0xf0,
      prefix,
      form: "memory",
      execute: movbeLoad,
    },
    {
      name: "MOVBE",
      map: M0F38,
      opcode: 0xf1,
      prefix,
      form: "memory",
      execute: movbeStore,
    },
  ]),
  {
    name: "CRC32",
    map: M0F38,
    opcode: 0xf0,
    prefix: 0xf2,
    execute: crc32(() => 1),
  },
  {
    name: "CRC32",
    map: M0F38,
    opcode: 0xf1,
    prefix: 0xf2,
    execute: crc32((cpu) => cpu.bits / 8),
  },
  {
    name: "ADCX",
    map: M0F38,
    opcode: 0xf6,
    prefix: 0x66,
    execute: addWithFlag("CF", 0n),
  },
  {
    name: "ADOX",
    map: M0F38,
    opcode: 0xf6,
    prefix: 0xf3,
    execute: addWithFlag("OF", 11n),
  },
];
