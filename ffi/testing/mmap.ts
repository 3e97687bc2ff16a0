/**
 * For tests: what this process has mapped.
 *
 * @module
 */

/** One line of `/proc/self/maps`. */
export interface ProcessMapping {
  /** Address of the first byte. */
  start: number;
  /** Bytes. */
  size: number;
  /** What is mapped, or the empty string. */
  name: string;
}

/** The process's mappings. */
export function mappingsOfProcess(): ProcessMapping[] {
  const lines = Deno.readTextFileSync("/proc/self/maps").trim().split("\n");
  return lines.map((line) => {
    const [range = "", , , , , name = ""] = line.split(/\s+/);
    const [start = 0, end = 0] = range.split("-").map((s) => parseInt(s, 16));
    return { start, size: end - start, name };
  });
}

/** The process's open descriptors and what they are. */
export function descriptorsOfProcess(): Map<number, string> {
  const open = new Map<number, string>();
  for (const { name } of Deno.readDirSync("/proc/self/fd")) {
    try {
      open.set(Number(name), Deno.readLinkSync(`/proc/self/fd/${name}`));
    } catch {
      // the directory's own descriptor, closed by now
    }
  }
  return open;
}
