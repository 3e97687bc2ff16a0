/**
 * For tests: what of the program's own file is in memory.
 *
 * @module
 */
import { libc } from "../libc.ts";
import { Madvise, Mapping } from "../memory/mmap.ts";
import { privatePages } from "../memory/pagemap.ts";
import type { Need } from "./needs.ts";

/** PAGEMAP_SCAN, of Linux 6.7. */
export const SCAN: Need = {
  missing() {
    using mapping = new Mapping(4096);
    return privatePages(mapping.address, mapping.size) ? "" : "needs Linux 6.7";
  },
};

/** A mapping that cannot be written to. */
export interface ProgramMapping {
  /** Its address. */
  readonly start: number;
  /** Bytes. */
  readonly size: number;
  /** As in /proc/PID/maps: `r--p`. */
  readonly mode: string;
  /** KiB that are resident. */
  readonly rss: number;
}

/** KiB of the running program that are resident. */
export function residentProgram(): number {
  return programMappings().reduce((sum, { rss }) => sum + rss, 0);
}

/** Reads all of the program into memory. */
export function readProgram(): void {
  for (const { start, size } of programMappings()) {
    libc.madvise_at(BigInt(start), size, Madvise.POPULATE_READ);
  }
}

/** All of the running program's. */
export function programMappings(): ProgramMapping[] {
  const program = Deno.readLinkSync("/proc/self/exe");
  return Deno.readTextFileSync("/proc/self/smaps")
    .split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/).flatMap((text) => {
      const [, from, to, mode, path] =
        /^(\w+)-(\w+) (r-[-x]p) \S+ \S+ \S+ +(.*)/.exec(text) ?? [];
      if (path !== program) return [];
      const start = parseInt(from!, 16);
      return [{
        start,
        size: parseInt(to!, 16) - start,
        mode: mode!,
        rss: Number(/^Rss: +(\d+)/m.exec(text)![1]),
      }];
    });
}
