/**
 * LZ4 in its legacy frame, the one that Linux's build writes: a magic number,
 * then blocks of at most 8 MiB, each behind its compressed size. The formats
 * are lz4_Frame_format.md ("Legacy frame") and lz4_Block_format.md.
 *
 * @module
 */

/** What a block unpacks to, at most. */
export const LZ4_BLOCK_MAX = 8 * 1024 * 1024;

/** A block that doesn't shrink grows by this: `LZ4_COMPRESSBOUND`. */
export const LZ4_COMPRESSED_MAX: number = LZ4_BLOCK_MAX +
  Math.floor(LZ4_BLOCK_MAX / 255) + 16;

/** The legacy frame's magic number; it may come again between blocks. */
export const LZ4_MAGIC = 0x184c2102;

const MATCH_MIN = 4;
/** A length of 15 goes on in the next byte, and there as long as it is 255. */
const LENGTH_GOES_ON = 15;
const BYTE_GOES_ON = 255;

/** The block is broken. */
export class Lz4Error extends Error {
  /** The class's name. */
  override name = "Lz4Error";
}

/**
 * Unpacks one block.
 *
 * @param target where to; bytes before its beginning can't be matched
 * @returns how many bytes it has
 * @throws {Lz4Error} when the block is broken or larger than `target`
 */
export function unpackLz4Block(block: Uint8Array, target: Uint8Array): number {
  let from = 0;
  let to = 0;
  const longLength = (length: number): number => {
    if (length !== LENGTH_GOES_ON) return length;
    for (;;) {
      const byte = block[from++];
      if (byte === undefined) throw new Lz4Error("ends inside of a length");
      length += byte;
      if (byte !== BYTE_GOES_ON) return length;
    }
  };
  while (from < block.length) {
    const token = block[from++]!;
    const literals = longLength(token >> 4);
    if (from + literals > block.length || to + literals > target.length) {
      throw new Lz4Error("has literals beyond its end");
    }
    for (let i = 0; i < literals; i++) target[to++] = block[from++]!;
    if (from === block.length) return to; // the last sequence has no match
    if (from + 2 > block.length) throw new Lz4Error("ends inside of an offset");
    const offset = block[from]! | block[from + 1]! << 8;
    from += 2;
    const length = longLength(token & 15) + MATCH_MIN;
    if (offset === 0 || offset > to || to + length > target.length) {
      throw new Lz4Error("has a match outside of it");
    }
    // Byte by byte: a match may reach into what it is writing.
    for (const end = to + length; to < end; to++) {
      target[to] = target[to - offset]!;
    }
  }
  return to;
}
