/**
 * The compressed formats that Linux's build knows for kernels
 * (`CONFIG_KERNEL_GZIP` and its like), told apart by how they begin.
 *
 * @module
 */

/** How each format begins; of LZMA, what its usual properties look like. */
const MAGIC = {
  gzip: [0x1f, 0x8b, 0x08],
  xz: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00],
  zstd: [0x28, 0xb5, 0x2f, 0xfd],
  lz4: [0x02, 0x21, 0x4c, 0x18],
  lzma: [0x5d, 0x00, 0x00],
  bzip2: [0x42, 0x5a, 0x68],
  lzo: [0x89, 0x4c, 0x5a, 0x4f, 0x00, 0x0d, 0x0a, 0x1a, 0x0a],
} as const;

/** A compressed format. `lz4` is its legacy frame, the one that Linux uses. */
export type CompressionFormat = keyof typeof MAGIC;

/** The format of a file that begins with `head`, or undefined. */
export function compressionOf(head: Uint8Array): CompressionFormat | undefined {
  const formats = Object.entries(MAGIC) as [
    CompressionFormat,
    readonly number[],
  ][];
  return formats.find(([, magic]) =>
    magic.every((byte, index) => head[index] === byte)
  )?.[0];
}
