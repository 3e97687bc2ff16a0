/**
 * Zeros in the place of parts of a private file mapping, whose pages go back to
 * the host. The file would show again behind MADV_DONTNEED, and MADV_REMOVE is
 * for shared mappings.
 *
 * @module
 */
import { advise, ADVISE_MAX, Madvise, mapEmpty, viewOf } from "./mmap.ts";

/**
 * Pieces of one cover: each splits a mapping, of which a process may have
 * 65,530 (`vm.max_map_count`).
 */
const PIECES = 1024;

/** What covers one machine's memory. */
export class ZeroCover {
  // Start and end of each piece, in order, without neighbours that touch.
  #edges: number[] = [];

  /** How many pieces there are. */
  get pieces(): number {
    return this.#edges.length / 2;
  }

  /**
   * Makes whole pages of a private mapping read as zeros. Beyond so many
   * pieces, or when the kernel has no room for another, they are written, and
   * stay with the process.
   */
  cover(address: number, length: number): void {
    const edges = this.#with(address, address + length);
    if (edges.length / 2 <= PIECES && mapZeros(address, length)) {
      this.#edges = edges;
    } else {
      new Uint8Array(viewOf(address, length)).fill(0);
    }
  }

  /** Something else was mapped over all of it. */
  clear(): void {
    this.#edges = [];
  }

  #with(start: number, end: number): number[] {
    const edges = this.#edges;
    // The pieces that touch the new one become a part of it.
    let first = 0;
    while (first < edges.length && edges[first + 1]! < start) first += 2;
    let last = first;
    while (last < edges.length && edges[last]! <= end) last += 2;
    const from = Math.min(start, first < last ? edges[first]! : start);
    const to = Math.max(end, first < last ? edges[last - 1]! : end);
    return edges.toSpliced(first, last - first, from, to);
  }
}

/**
 * The zero page is read in at once: who looks for pages that are not the file's
 * (`privatePages`) finds it.
 */
function mapZeros(address: number, length: number): boolean {
  try {
    mapEmpty(address, length);
  } catch {
    return false;
  }
  for (let done = 0; done < length; done += ADVISE_MAX) {
    const piece = Math.min(length - done, ADVISE_MAX);
    advise(address + done, piece, Madvise.POPULATE_READ);
  }
  return true;
}
