/**
 * A copy of a guest's RAM as a sparse file, below and above the MMIO hole one
 * after the other. Pages of zeros are holes in it.
 *
 * @module
 */
import { closeFd, createMemoryFile } from "../../ffi/file.ts";
import { mapFileOver } from "../../ffi/mmap.ts";
import type { GuestMemory, RegionHandle } from "../../guest/memory.ts";

const PAGE = 4096;
const PAGE_WORDS = PAGE / 4;

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
          for (let done = 0; done < bytes.length;) {
            done += file.writeSync(bytes.subarray(done));
          }
        });
        offset += size;
      }
      return image;
    } catch (error) {
      image[Symbol.dispose]();
      throw error;
    }
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

function isZero(words: Uint32Array<ArrayBuffer>, from: number): boolean {
  for (let i = from; i < from + PAGE_WORDS; i++) {
    if (words[i] !== 0) return false;
  }
  return true;
}
