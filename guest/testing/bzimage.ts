/**
 * For tests: small bzImages, valid ones and broken ones, and everything that
 * a payload can be compressed with.
 *
 * @module
 */
import { gzipSync, zstdCompressSync } from "node:zlib";
import type { CompressionFormat } from "../kernel/compression.ts";

/** What to build; the defaults give a kernel that unpacks itself. */
export interface TestBzImage {
  /** What is at the 64-bit entry. */
  code?: Uint8Array;
  /** The payload as it is in the file. */
  payload?: Uint8Array;
  /** Fields of the setup header, by offset: `[size in bytes, value]`. */
  fields?: Record<number, [1 | 2 | 4 | 8, bigint]>;
}

const SETUP_SECTS = 2;
/** Where the protected-mode code begins in the file. */
export const TEST_CODE_OFFSET: number = (SETUP_SECTS + 1) * 512;
/** Where the payload begins in the protected-mode code. */
export const TEST_PAYLOAD_OFFSET = 0x1000;
/** The version text. */
export const TEST_VERSION = "6.1.0-test (vireo@test) #1";

/** A bzImage: setup code, header, protected-mode code, payload. */
export function buildBzImage(image: TestBzImage = {}): Uint8Array<ArrayBuffer> {
  const { code = new Uint8Array([0xf4]), payload = new Uint8Array() } = image;
  const codeSize = Math.ceil((TEST_PAYLOAD_OFFSET + payload.length) / 4096) *
    4096;
  const file = new Uint8Array(TEST_CODE_OFFSET + codeSize);
  file.set(new TextEncoder().encode("MZ"));
  const fields: TestBzImage["fields"] = {
    0x1f1: [1, BigInt(SETUP_SECTS)],
    0x1f4: [4, BigInt(codeSize / 16)],
    0x1fe: [2, 0xaa55n],
    0x200: [2, 0x6aebn], // jmp over the header, to 0x26c
    0x202: [4, 0x53726448n],
    0x206: [2, 0x020fn],
    0x20e: [2, 0x100n],
    0x211: [1, 1n],
    0x22c: [4, 0x7fff_ffffn],
    0x230: [4, 0x20_0000n],
    0x234: [1, 1n],
    0x236: [2, 1n],
    0x238: [4, 2047n],
    0x248: [4, payload.length === 0 ? 0n : BigInt(TEST_PAYLOAD_OFFSET)],
    0x24c: [4, BigInt(payload.length)],
    0x258: [8, 0x100_0000n],
    0x260: [4, 0x10_0000n],
    ...image.fields,
  };
  for (const [offset, [size, value]] of Object.entries(fields)) {
    const bytes = new Uint8Array(new BigUint64Array([value]).buffer, 0, size);
    file.set(bytes, Number(offset));
  }
  file.set(new TextEncoder().encode(TEST_VERSION + "\0"), 512 + 0x100);
  file.set(code, TEST_CODE_OFFSET + 0x200);
  file.set(payload, TEST_CODE_OFFSET + TEST_PAYLOAD_OFFSET);
  return file;
}

/** What Linux's build appends to all that is packed but gzip: its size. */
export function withSize(
  packed: Uint8Array,
  compression: CompressionFormat,
  size: number,
): Uint8Array<ArrayBuffer> {
  if (compression === "gzip") return packed.slice();
  return new Uint8Array([
    ...packed,
    ...new Uint8Array(new Uint32Array([size]).buffer),
  ]);
}

/** The commands of Linux's scripts/Makefile.lib. */
const COMMANDS: Record<string, string[]> = {
  xz: ["xz", "--check=crc32", "--x86", "--lzma2=dict=1MiB"],
  lz4: ["lz4", "-l", "-9", "-", "-"],
  lzma: ["lzma", "-9"],
  bzip2: ["bzip2", "-9"],
  lzo: ["lzop", "-9"],
};

/** The program that {@linkcode pack} calls; its package unpacks, too. */
export function packersOf(compression: CompressionFormat): string[] {
  return COMMANDS[compression]?.slice(0, 1) ?? [];
}

/** Compresses `bytes`, by a program where the runtime can't. */
export async function pack(
  bytes: Uint8Array,
  compression: CompressionFormat,
): Promise<Uint8Array<ArrayBuffer>> {
  if (compression === "gzip") return new Uint8Array(gzipSync(bytes));
  if (compression === "zstd") return new Uint8Array(zstdCompressSync(bytes));
  const [program, ...args] = COMMANDS[compression]!;
  const child = new Deno.Command(program!, {
    args,
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const fed = new Blob([bytes.slice()]).stream().pipeTo(child.stdin);
  const { success, stdout } = await child.output();
  await fed;
  if (!success) throw new Error(`${program} failed`);
  return stdout;
}
