/**
 * A copy of a guest's RAM: a sparse file, below and above the MMIO hole one
 * after the other, and runs of pages that are others than the file's. Pages of
 * zeros are holes in the file.
 *
 * Several images share a file. It is never written again.
 *
 * @module
 */
import { crc32 } from "node:zlib";
import {
  closeFd,
  createMemoryFile,
  duplicateFd,
  endOfFile,
  readAt,
  sealMemoryFile,
} from "../../ffi/file.ts";
import { mapFileOver, viewOf } from "../../ffi/memory/mmap.ts";
import { ZeroCover } from "../../ffi/memory/zero_cover.ts";
import { GiB } from "../../guest/layout.ts";
import type { GuestMemory, RegionHandle } from "../../guest/memory.ts";
import {
  isSame,
  isZero,
  overlay,
  PAGE,
  type Run,
  RunCollector,
  union,
  wordsOf,
} from "./runs.ts";

/** Bytes that one checksum is of. */
export const PIECE = 2 * 1024 * 1024;
/** Zeros that are worth a mapping of their own, in bytes. */
const COVERED = 64 * PAGE;

/** A RAM. */
export class MemoryImage implements Disposable {
  /** The file. */
  readonly fd: number;
  /** Its length in bytes. */
  readonly size: number;
  /** What is not as in the file, in order. */
  readonly changes: readonly Run[];

  /** An image that is there already; the descriptor is its own from now on. */
  constructor(fd: number, size: number, changes: readonly Run[] = []) {
    this.fd = fd;
    this.size = size;
    this.changes = changes;
  }

  /** Copies what the guest has in memory; it must not run. */
  static of(memory: GuestMemory): MemoryImage {
    const image = MemoryImage.writable(memory);
    sealMemoryFile(image.fd);
    return image;
  }

  /** The same, whose file may still be written. */
  static writable(memory: GuestMemory): MemoryImage {
    const fd = createMemoryFile("vireo snapshot", memory.size);
    const image = new MemoryImage(fd, memory.size);
    try {
      using file = image.open({ write: true });
      let offset = 0;
      for (const { u8, size } of memory.regions) {
        copyRuns(u8, (from, bytes) => {
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

  /** Another image over the same file, with a descriptor of its own. */
  share(changes: readonly Run[] = this.changes): MemoryImage {
    return new MemoryImage(duplicateFd(this.fd), this.size, changes);
  }

  /** Both are over the same file. */
  shares(other: MemoryImage): boolean {
    const [a, b] = [this, other].map(({ fd }) =>
      Deno.statSync(`/proc/self/fd/${fd}`)
    );
    return a!.dev === b!.dev && a!.ino === b!.ino;
  }

  /**
   * Writes it to `target`, an empty file, with holes where it has them.
   *
   * @returns the CRC-32 of each {@linkcode PIECE}
   */
  copyTo(target: Deno.FsFile): number[] {
    target.truncateSync(this.size);
    return this.sums((at, piece) =>
      copyRuns(piece, (from, bytes) => {
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
    const buffer = new Uint8Array(PIECE);
    return Array.from({ length: Math.ceil(this.size / PIECE) }, (_, i) => {
      const at = i * PIECE;
      const piece = buffer.subarray(0, Math.min(PIECE, this.size - at));
      this.#read(at, piece);
      visit?.(at, piece);
      return crc32(piece);
    });
  }

  /** Where it is another than `since`, and what it has there. */
  changesSince(since: MemoryImage): Run[] {
    const candidates = this.shares(since)
      ? union(this.changes, since.changes)
      : [{ from: 0, to: this.size }];
    const longest = Math.max(...candidates.map(({ from, to }) => to - from), 0);
    const room = Math.min(longest, PIECE);
    const [now, then] = [new Uint8Array(room), new Uint8Array(room)];
    const collector = new RunCollector();
    for (const { from, to } of candidates) {
      for (let at = from; at < to; at += PIECE) {
        const size = Math.min(PIECE, to - at);
        const [a, b] = [now.subarray(0, size), then.subarray(0, size)];
        this.#read(at, a);
        since.#read(at, b);
        const [left, right] = [wordsOf(a), wordsOf(b)];
        collector.add(at, a, (offset) => !isSame(left, right, offset / 4));
      }
    }
    return collector.runs;
  }

  /** The file through another descriptor. */
  open(options: Deno.OpenOptions): Deno.FsFile {
    return Deno.openSync(`/proc/self/fd/${this.fd}`, options);
  }

  /**
   * Makes it the RAM of a guest that does not run: pages are read from the file
   * when they are touched, and what is written stays the guest's. Memory that
   * others can map, or of the host's pool, gets a copy of all of it.
   *
   * @param regions together as large as the image
   */
  mapOver(regions: readonly RegionHandle[]): void {
    let offset = 0;
    const cover = new ZeroCover();
    for (const region of regions) {
      const { hostAddress, size } = region;
      if (isMapped(region)) {
        mapFileOver(hostAddress, size, this.fd, offset);
        this.#change(offset, hostAddress, size, cover);
        region.backing = "image";
      } else {
        this.#read(offset, new Uint8Array(viewOf(hostAddress, size)));
      }
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

  #read(at: number, bytes: Uint8Array<ArrayBuffer>): void {
    if (overlay(this.changes, at, bytes) === bytes.length) return;
    for (let done = 0; done < bytes.length; done += GiB) {
      readAt(this.fd, at + done, bytes.subarray(done, done + GiB));
    }
    overlay(this.changes, at, bytes);
  }

  /** Writes what is not the file's; long runs of zeros take no memory. */
  #change(
    offset: number,
    address: number,
    size: number,
    cover: ZeroCover,
  ): void {
    if (this.changes.length === 0) return;
    const memory = new Uint8Array(viewOf(address, size));
    for (const run of this.changes) {
      const from = Math.max(run.from - offset, 0);
      const to = Math.min(run.to - offset, size);
      if (from >= to) continue;
      if (run.bytes === undefined && to - from >= COVERED) {
        cover.cover(address + from, to - from);
      } else {
        overlay([run], offset + from, memory.subarray(from, to));
      }
    }
  }
}

/** RAM is mapped over such a region, not copied into it. */
export function isMapped({ backing = "anonymous" }: RegionHandle): boolean {
  return backing !== "file" && backing !== "pool";
}

/** Calls `copy` with each run of pages that are not all zero. */
function copyRuns(
  bytes: Uint8Array<ArrayBuffer>,
  copy: (from: number, bytes: Uint8Array<ArrayBuffer>) => void,
): void {
  const words = wordsOf(bytes);
  let start = -1;
  for (let at = 0; at <= bytes.length; at += PAGE) {
    const isData = at < bytes.length && !isZero(words, at / 4);
    if (isData && start < 0) start = at;
    if (isData || start < 0) continue;
    copy(start, bytes.subarray(start, at));
    start = -1;
  }
}

/** Writes all of it. */
export function writeFully(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) {
    done += file.writeSync(bytes.subarray(done));
  }
}
