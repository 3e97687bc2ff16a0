/**
 * A copy of a guest's RAM as a sparse file, below and above the MMIO hole one
 * after the other. Pages of zeros are holes in it.
 *
 * @module
 */
import { crc32 } from "node:zlib";
import { closeFd, createMemoryFile, endOfFile } from "../../ffi/file.ts";
import { mapFileOver } from "../../ffi/mmap.ts";
import type { GuestMemory, RegionHandle } from "../../guest/memory.ts";

const PAGE = 4096;
const PAGE_WORDS = PAGE / 4;

/** Bytes that one checksum is of. */
export const PIECE = 2 * 1024 * 1024;

/** RAM in a file. */
export class MemoryImage implements Disposable {
  /** The file. */
  readonly fd: number;
  /** Its length in bytes. */
  readonly size: number;

  /** An image that is there already; the descriptor is its own from now on. */
  constructor(fd: number, size: number) {
    this.fd = fd;
    this.size = size;
  }

  /** Copies what the guest has in memory; it must not run. */
  static of(memory: GuestMemory): MemoryImage {
    const fd = createMemoryFile("vireo snapshot", memory.size);
    const image = new MemoryImage(fd, memory.size);
    try {
      using file = image.open({ write: true });
      let offset = 0;
      for (const { u8, u32, size } of memory.regions) {
        copyRuns(u8, u32, (from, bytes) => {
          file.seekSync(offset + from, Deno.SeekMode.Start);
          writeFully(file, bytes);
        });
        offset += size;
      }
      return image;
    } catch (error) {
      image[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Writes it to `target`, an empty file, with holes where it has them.
   *
   * @returns the CRC-32 of each {@linkcode PIECE}
   */
  copyTo(target: Deno.FsFile): number[] {
    target.truncateSync(this.size);
    return this.sums((at, piece) =>
      copyRuns(piece, new Uint32Array(piece.buffer), (from, bytes) => {
        target.seekSync(at + from, Deno.SeekMode.Start);
        writeFully(target, bytes);
      })
    );
  }

  /**
   * The CRC-32 of each {@linkcode PIECE}.
   *
   * @param visit gets each piece, and its offset; it is gone afterwards
   */
  sums(
    visit?: (at: number, piece: Uint8Array<ArrayBuffer>) => void,
  ): number[] {
    using source = this.open({ read: true });
    const buffer = new Uint8Array(PIECE);
    return Array.from({ length: Math.ceil(this.size / PIECE) }, (_, i) => {
      const at = i * PIECE;
      const piece = buffer.subarray(0, Math.min(PIECE, this.size - at));
      readFully(source, piece);
      visit?.(at, piece);
      return crc32(piece);
    });
  }

  /** The file through another descriptor. */
  open(options: Deno.OpenOptions): Deno.FsFile {
    return Deno.openSync(`/proc/self/fd/${this.fd}`, options);
  }

  /**
   * Makes it the RAM of a guest that has not run: pages are read from the file
   * when they are touched, and what is written stays the guest's.
   *
   * @param regions of the process's own memory, together as large as the image
   */
  mapOver(regions: readonly RegionHandle[]): void {
    let offset = 0;
    for (const { hostAddress, size } of regions) {
      mapFileOver(hostAddress, size, this.fd, offset);
      offset += size;
    }
  }

  /** What has become of the file, if RAM can't come from it any more. */
  fault(): string | undefined {
    const end = endOfFile(this.fd);
    if (end >= this.size) return undefined;
    const path = Deno.readLinkSync(`/proc/self/fd/${this.fd}`);
    return `memory file "${path}": was cut to ${end} bytes`;
  }

  /** Closes the file; what is mapped stays. */
  [Symbol.dispose](): void {
    closeFd(this.fd);
  }
}

/** Calls `copy` with each run of pages that are not all zero. */
function copyRuns(
  u8: Uint8Array<ArrayBuffer>,
  u32: Uint32Array<ArrayBuffer>,
  copy: (from: number, bytes: Uint8Array<ArrayBuffer>) => void,
): void {
  let start = -1;
  const pages = u8.length / PAGE;
  for (let page = 0; page <= pages; page++) {
    const isData = page < pages && !isZero(u32, page * PAGE_WORDS);
    if (isData && start < 0) start = page;
    if (isData || start < 0) continue;
    copy(start * PAGE, u8.subarray(start * PAGE, page * PAGE));
    start = -1;
  }
}

function writeFully(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) {
    done += file.writeSync(bytes.subarray(done));
  }
}

/** What is behind the file's end reads as zeros. */
function readFully(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) {
    const count = file.readSync(bytes.subarray(done));
    if (count === null) return void bytes.fill(0, done);
    done += count;
  }
}

function isZero(words: Uint32Array<ArrayBuffer>, from: number): boolean {
  for (let i = from; i < from + PAGE_WORDS; i++) {
    if (words[i] !== 0) return false;
  }
  return true;
}
