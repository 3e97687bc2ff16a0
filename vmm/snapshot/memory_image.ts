/**
 * A copy of a guest's RAM: a sparse file, below and above the MMIO hole one
 * after the other, and runs of pages that are others than the file's. Pages of
 * zeros are holes in the file.
 *
 * Several images share a file. It is never written again.
 *
 * @module
 */
import type * as NodeBuffer from "node:buffer";
import {
  closeFd,
  createMemoryFile,
  duplicateFd,
  endOfFile,
  readAt,
  sealMemoryFile,
} from "../../ffi/file.ts";
import { mapFileOver, viewOf } from "../../ffi/memory/mmap.ts";
import type { PageRange } from "../../ffi/memory/pagemap.ts";
import { ZeroCover } from "../../ffi/memory/zero_cover.ts";
import { nodeModule } from "../../ffi/node_module.ts";
import { GiB } from "../../guest/layout.ts";
import type { GuestMemory, RegionHandle } from "../../guest/memory.ts";
import { crc32 } from "./crc32.ts";
import {
  overlay,
  PAGE,
  type Run,
  RunCollector,
  without,
  zeroPages,
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
    const collector = new RunCollector();
    const candidates = this.#candidates(since);
    const { Buffer } = nodeModule<typeof NodeBuffer>("node:buffer");
    const room = candidates.reduce(
      (most, { from, to }) => Math.min(PIECE, Math.max(most, to - from)),
      0,
    );
    const [ours, theirs] = [new Uint8Array(room), new Uint8Array(room)];
    for (const { from, to, bytes } of candidates) {
      for (let at = from; at < to; at += PIECE) {
        const size = Math.min(PIECE, to - at);
        const then = theirs.subarray(0, size);
        since.#read(at, then);
        const now = bytes?.subarray(at - from, at - from + size) ??
          ours.subarray(0, size);
        if (!bytes) this.#read(at, now);
        const [a, b] = [Buffer.from(now.buffer), Buffer.from(then.buffer)];
        const differs = (offset: number) => {
          const [i, j] = [now.byteOffset + offset, then.byteOffset + offset];
          return a.compare(b, j, j + PAGE, i, i + PAGE) !== 0;
        };
        collector.add(at, now, differs, bytes !== undefined);
      }
    }
    return collector.runs;
  }

  /** Where it may differ from `since`, in order. */
  #candidates(since: MemoryImage): readonly (PageRange & Partial<Run>)[] {
    if (!this.shares(since)) return [{ from: 0, to: this.size }];
    const rest = without(since.changes, this.changes);
    if (rest.length === 0) return this.changes;
    return [...this.changes, ...rest].sort((a, b) => a.from - b.from);
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
    for (const run of this.changes) {
      const from = Math.max(run.from - offset, 0);
      const to = Math.min(run.to - offset, size);
      if (from >= to) continue;
      if (run.bytes === undefined && to - from >= COVERED) {
        cover.cover(address + from, to - from);
      } else {
        const memory = new Uint8Array(viewOf(address + from, to - from));
        overlay([run], offset + from, memory);
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
  const isZero = zeroPages(bytes);
  let start = -1;
  for (let at = 0; at <= bytes.length; at += PAGE) {
    const isData = at < bytes.length && !isZero(at);
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
