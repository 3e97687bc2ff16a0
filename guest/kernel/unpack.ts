/**
 * Unpacks compressed kernels on the host, with the runtime's decoders or the
 * usual programs. What comes out is limited: a small file may claim anything.
 *
 * @module
 */
import { zstdDecompressSync } from "node:zlib";
import { packageOf } from "../../ffi/packages.ts";
import type { OpenBootFile } from "./file.ts";
import type { CompressionFormat } from "./compression.ts";
import { KernelError } from "./error.ts";
import { MiB } from "../layout.ts";
import {
  LZ4_BLOCK_MAX,
  LZ4_COMPRESSED_MAX,
  LZ4_MAGIC,
  Lz4Error,
  unpackLz4Block,
} from "./unpack_lz4.ts";

/** The compressed bytes of a file. */
export interface Packed {
  /** How. */
  compression: CompressionFormat;
  /** Offset in the file. */
  offset: number;
  /** Bytes in the file. */
  size: number;
  /** Bytes after unpacking, where the file says so. */
  unpackedSize?: number;
}

/** Limits and listeners. */
export interface UnpackOptions {
  /** Unpack at most so many bytes: nothing larger fits into the guest. */
  limit: number;
  /** Told how much is done, 0 to 1. */
  onProgress?(fraction: number): void;
}

/** There is no decoder for this format on this host. */
export class DecoderMissing extends KernelError {
  /** The class's name. */
  override name = "DecoderMissing";
}

type Chunks = AsyncIterable<Uint8Array>;
type OnRead = (count: number) => void;

// Linux's own choice is a dictionary of at most 128 MiB; a header may ask xz
// for 4 GiB.
const XZ_MEMORY = "--memlimit-decompress=512MiB";

/** Programs that unpack standard input. */
const PROGRAMS: Partial<Record<CompressionFormat, [string, ...string[]]>> = {
  xz: ["xz", "-dc", XZ_MEMORY, "--format=xz"],
  lzma: ["xz", "-dc", XZ_MEMORY, "--format=lzma"],
  bzip2: ["bzip2", "-dc"],
  lzo: ["lzop", "-dc"],
};

/** Bytes of an LZ4 block's size. */
const WORD = 4;

/** No kernel is larger, whatever memory the guest has. */
const LARGEST = 1024 * MiB;
/** What kernels grow to, about, where the file doesn't say. */
const FIRST_GUESS = 4;

/**
 * Unpacks `packed`, a part of `source`.
 *
 * @throws {DecoderMissing} when this host can't
 * @throws {KernelError} when it is broken, or larger than the limit
 */
export async function unpack(
  source: OpenBootFile,
  packed: Packed,
  options: UnpackOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const { compression, unpackedSize } = packed;
  const limit = Math.min(options.limit, LARGEST);
  if ((unpackedSize ?? 0) > limit) throw tooLarge(source, limit);
  const size = unpackedSize ?? Math.min(limit, FIRST_GUESS * packed.size);
  let buffer = new ArrayBuffer(size);
  let length = 0;
  for await (const chunk of decode(source, packed, limit, options)) {
    const end = length + chunk.length;
    if (end > limit) throw tooLarge(source, limit);
    if (end > (unpackedSize ?? end)) throw liesAboutSize(source, compression);
    if (end > buffer.byteLength) {
      const wanted = Math.max(end, 2 * buffer.byteLength);
      buffer = buffer.transfer(Math.min(wanted, limit));
    }
    new Uint8Array(buffer, length).set(chunk);
    length = end;
  }
  if (length === 0 || length !== (unpackedSize ?? length)) {
    throw liesAboutSize(source, compression);
  }
  return new Uint8Array(buffer, 0, length);
}

function tooLarge({ label }: OpenBootFile, limit: number): KernelError {
  return new KernelError(
    label,
    `unpacks to more than the ${Math.floor(limit / MiB)} MiB of memory ` +
      "that the guest has: --memory",
  );
}

function liesAboutSize(
  source: OpenBootFile,
  compression: CompressionFormat,
): KernelError {
  const reason = "what comes out does not have the size that the file says";
  return broken(source, compression, reason);
}

async function* decode(
  source: OpenBootFile,
  packed: Packed,
  limit: number,
  { onProgress = () => {} }: UnpackOptions,
): Chunks {
  const { compression, size } = packed;
  const onRead = (count: number) => onProgress(count / size);
  try {
    yield* decoderOf(compression)(source, packed, onRead, limit);
  } catch (error) {
    if (error instanceof KernelError) throw error;
    if (hasCode(error, "ERR_BUFFER_TOO_LARGE")) throw tooLarge(source, limit);
    const reason = error instanceof Error ? error.message : String(error);
    throw broken(source, compression, reason);
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

function broken(
  { label }: OpenBootFile,
  compression: CompressionFormat,
  reason: string,
): KernelError {
  const line = reason.trim().split("\n")[0]!;
  return new KernelError(label, `can't be unpacked (${compression}): ${line}`);
}

type Decoder = (
  source: OpenBootFile,
  packed: Packed,
  onRead: OnRead,
  limit: number,
) => Chunks;

function decoderOf(compression: CompressionFormat): Decoder {
  switch (compression) {
    case "gzip":
      return gunzip;
    case "zstd":
      return unzstd;
    case "lz4":
      return unlz4;
    default:
      return runProgram;
  }
}

function gunzip(
  source: OpenBootFile,
  { offset, size }: Packed,
  onRead: OnRead,
): Chunks {
  return source.stream(offset, size, onRead)
    .pipeThrough(new DecompressionStream("gzip"));
}

/**
 * In one piece: Deno's streaming decoder throws errors where nobody can
 * catch them, and takes a truncated file for a whole one.
 */
async function* unzstd(
  source: OpenBootFile,
  { offset, size }: Packed,
  _onRead: OnRead,
  limit: number,
): Chunks {
  if (size > limit) throw new Error("it is larger than the guest's memory");
  const bytes = source.slice(offset, size);
  yield zstdDecompressSync(bytes, { maxOutputLength: limit });
}

async function* unlz4(
  source: OpenBootFile,
  { offset, size }: Packed,
  onRead: OnRead,
): Chunks {
  const end = offset + size;
  // A byte of LZ4 stands for 255 at most.
  const target = new Uint8Array(Math.min(LZ4_BLOCK_MAX, size * 255));
  for (let at = offset; at < end;) {
    onRead(at - offset);
    if (at + WORD > end) throw new Lz4Error("ends inside of a size");
    const word = source.slice(at, WORD);
    at += WORD;
    const length = new DataView(word.buffer).getUint32(0, true);
    if (length === LZ4_MAGIC) continue;
    if (length > LZ4_COMPRESSED_MAX || at + length > end) {
      throw new Lz4Error(`has a block of ${length} bytes`);
    }
    const block = source.slice(at, length);
    at += length;
    yield target.subarray(0, unpackLz4Block(block, target));
  }
}

async function* runProgram(
  source: OpenBootFile,
  { compression, offset, size }: Packed,
  onRead: OnRead,
): Chunks {
  const [program, ...args] = PROGRAMS[compression]!;
  const command = new Deno.Command(program, {
    args,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    env: { LC_ALL: "C" },
  });
  let child: Deno.ChildProcess;
  try {
    child = command.spawn();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new DecoderMissing(
      source.label,
      `is compressed with ${compression}, and there is no "${program}" to ` +
        `unpack it: apt-get install ${packageOf(program)}`,
    );
  }
  // What the program says counts, not that it closes its input to say it.
  let unread: unknown;
  const fed = source.stream(offset, size, onRead).pipeTo(child.stdin)
    .catch((error) => unread = error);
  const complaint = new Response(child.stderr).text();
  try {
    yield* child.stdout;
    await fed;
    const { success } = await child.status;
    if (!success) {
      if (unread instanceof KernelError) throw unread;
      throw new Error((await complaint) || `${program} failed`);
    }
  } finally {
    // Nobody reads on when this is left early: let it not wait for ever.
    try {
      child.kill("SIGKILL");
    } catch { /* it has ended */ }
    await Promise.all([fed, complaint, child.status]);
  }
}
