/**
 * The guest's memory statistics (virtio 1.2 §5.5.6.3).
 *
 * @module
 */
import type { GuestMemory } from "../../../guest/memory.ts";
import type { ChainPart } from "../queue/chain.ts";

/** What the guest may say of its memory, in Firecracker's words. */
export interface GuestStats {
  /** Bytes that were swapped in. */
  swap_in?: number;
  /** Bytes that were swapped out. */
  swap_out?: number;
  /** Page faults that needed I/O. */
  major_faults?: number;
  /** Page faults that didn't. */
  minor_faults?: number;
  /** Bytes that nothing uses. */
  free_memory?: number;
  /** Bytes of RAM that the guest has. */
  total_memory?: number;
  /** Bytes that could be used without swapping. */
  available_memory?: number;
  /** Bytes of files that could be given up. */
  disk_caches?: number;
  /** Huge pages that were allocated. */
  hugetlb_allocations?: number;
  /** Huge pages that were not to be had. */
  hugetlb_failures?: number;
  /** Programs that were ended because memory ran out. */
  oom_kill?: number;
  /** Allocations that had to wait until pages were reclaimed. */
  alloc_stall?: number;
  /** Bytes that were looked at in the background, to reclaim some. */
  async_scan?: number;
  /** Bytes that an allocation itself had to look at. */
  direct_scan?: number;
  /** Bytes that were reclaimed in the background. */
  async_reclaim?: number;
  /** Bytes that an allocation itself has reclaimed. */
  direct_reclaim?: number;
}

/** {@linkcode GuestStats} by tag: `VIRTIO_BALLOON_S_*`. */
const NAMES: readonly (keyof GuestStats)[] = [
  "swap_in",
  "swap_out",
  "major_faults",
  "minor_faults",
  "free_memory",
  "total_memory",
  "available_memory",
  "disk_caches",
  "hugetlb_allocations",
  "hugetlb_failures",
  "oom_kill",
  "alloc_stall",
  "async_scan",
  "direct_scan",
  "async_reclaim",
  "direct_reclaim",
];

const STAT_SIZE = 10; // struct virtio_balloon_stat, packed: le16 tag, le64 val
/** A buffer with more statistics than this is cut off. */
const STATS_MAX = 64;
const TWO_32 = 0x1_0000_0000;

/** The last statistics that a driver has sent. */
export class StatsReader {
  // By tag; NaN: not told.
  readonly #values = new Float64Array(NAMES.length).fill(NaN);
  readonly #bytes = new Uint8Array(STAT_SIZE * STATS_MAX);
  readonly #view = new DataView(this.#bytes.buffer);

  /** Takes what is in a buffer of the driver; unknown tags are skipped. */
  read(part: ChainPart, memory: GuestMemory): void {
    const count = Math.min(Math.floor(part.bytes / STAT_SIZE), STATS_MAX);
    part.peek(memory, this.#bytes, count * STAT_SIZE);
    for (let i = 0; i < count; i++) {
      const at = i * STAT_SIZE;
      const tag = this.#view.getUint16(at, true);
      if (tag >= NAMES.length) continue;
      this.#values[tag] = this.#view.getUint32(at + 2, true) +
        this.#view.getUint32(at + 6, true) * TWO_32;
    }
  }

  /** Forgets them. */
  clear(): void {
    this.#values.fill(NaN);
  }

  /** What was told, by name. */
  get stats(): GuestStats {
    const stats: GuestStats = {};
    NAMES.forEach((name, tag) => {
      const value = this.#values[tag]!;
      if (!Number.isNaN(value)) stats[name] = value;
    });
    return stats;
  }
}
