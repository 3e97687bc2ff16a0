/**
 * Which pages of a mapping are the process's own: PAGEMAP_SCAN, from Linux 6.7
 * on (Documentation/admin-guide/mm/pagemap.rst).
 *
 * @module
 */
import { closeFd, Open, openFd } from "../file.ts";
import { _IOWR } from "../ioctl.ts";
import { libc } from "../libc.ts";

const ARGUMENT_SIZE = 96;
const PAGEMAP_SCAN = _IOWR("f".charCodeAt(0), 16, ARGUMENT_SIZE);

/** `PAGE_IS_*` bits. */
const Page = { FILE: 4, PRESENT: 8, SWAPPED: 16 } as const;

/** Bytes of a `struct page_region`: start, end, categories. */
const REGION_WORDS = 3;
const REGIONS = 4096;

/** Pages from one offset in bytes to another. */
export interface PageRange {
  /** Offset of the first byte. */
  from: number;
  /** Offset of the byte behind the last. */
  to: number;
}

/**
 * The pages of a private file mapping that are not the file's any more: they
 * were written, by whoever it was, or something else is mapped in their place.
 *
 * @param address of the mapping, a multiple of the page size
 * @param size its bytes
 * @returns ranges in order, their offsets from `address`; undefined where the
 *   kernel can't tell
 */
export function privatePages(
  address: number,
  size: number,
): PageRange[] | undefined {
  const regions = new BigUint64Array(REGION_WORDS * REGIONS);
  const argument = new BigUint64Array(ARGUMENT_SIZE / 8);
  const [START, END] = [2, 3];
  argument[0] = BigInt(ARGUMENT_SIZE);
  argument[START] = BigInt(address);
  argument[END] = BigInt(address + size);
  argument[5] = BigInt(
    Deno.UnsafePointer.value(Deno.UnsafePointer.of(regions)),
  );
  argument[6] = BigInt(REGIONS);
  // Not the file's, and there: in memory or swapped out.
  argument[8] = BigInt(Page.FILE); // inverted,
  argument[9] = BigInt(Page.FILE); // and wanted,
  argument[10] = BigInt(Page.PRESENT | Page.SWAPPED); // and one of these
  const fd = openFd("/proc/self/pagemap", Open.RDONLY, "pages");
  try {
    const ranges: PageRange[] = [];
    while (argument[START]! < argument[END]!) {
      const count = libc.ioctl_buffer(fd, PAGEMAP_SCAN, argument);
      if (count < 0) return undefined;
      for (let i = 0; i < REGION_WORDS * count; i += REGION_WORDS) {
        append(ranges, {
          from: Number(regions[i]) - address,
          to: Number(regions[i + 1]) - address,
        });
      }
      if (count < REGIONS) return ranges;
      // Not walk_end: Linux 6.18 gives an earlier one now and then.
      argument[START] = regions[REGION_WORDS * count - 2]!;
    }
    return ranges;
  } finally {
    closeFd(fd);
  }
}

function append(ranges: PageRange[], range: PageRange): void {
  const last = ranges.at(-1);
  if (last?.to === range.from) last.to = range.to;
  else ranges.push(range);
}
