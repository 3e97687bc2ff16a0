/**
 * The pages of the running program's own file, of which a start uses many that
 * are never used again.
 *
 * @module
 */
import { libc } from "../libc.ts";
import { Madvise } from "./mmap.ts";
import { privatePages } from "./pagemap.ts";

/** A line of /proc/self/maps: a private mapping that nobody may write to. */
const READ_ONLY = /^([0-9a-f]+)-([0-9a-f]+) r-[-x]p \S+ \S+ \S+ +(.*)$/;

/**
 * Lets go of them. Those that are used again come back from the host's page
 * cache, a few at a time, by a page fault; pages that something was written to,
 * such as a debugger's breakpoint, stay.
 *
 * @returns bytes of mappings that were let go of; 0 where the kernel can't tell
 * which pages are the file's (before Linux 6.7), or /proc isn't there
 */
export function letGoOfProgram(): number {
  let program: string, maps: string;
  try {
    program = Deno.readLinkSync("/proc/self/exe");
    maps = Deno.readTextFileSync("/proc/self/maps");
  } catch {
    return 0;
  }
  let bytes = 0;
  for (const line of maps.split("\n")) {
    const [, from, to, path] = READ_ONLY.exec(line) ?? [];
    if (path === program) {
      bytes += letGo(parseInt(from!, 16), parseInt(to!, 16));
    }
  }
  return bytes;
}

/** All of a mapping but what was written to. */
function letGo(start: number, end: number): number {
  const kept = privatePages(start, end - start);
  if (kept === undefined) return 0;
  let bytes = 0;
  let from = 0;
  for (const keep of [...kept, { from: end - start, to: end - start }]) {
    const size = keep.from - from;
    const address = BigInt(start + from);
    if (size > 0 && libc.madvise_at(address, size, Madvise.DONTNEED) === 0) {
      bytes += size;
    }
    from = keep.to;
  }
  return bytes;
}
