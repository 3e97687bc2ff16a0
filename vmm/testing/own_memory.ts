/**
 * For tests: what this process takes, and how much of it is guests' RAM of
 * their own.
 *
 * @module
 */

/** MiB that are resident. */
export function residentSize(): number {
  const status = Deno.readTextFileSync("/proc/self/status");
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024;
}

/**
 * MiB of pages that are a guest's own, in all mappings of a snapshot's file.
 *
 * @param ram the size of each in MiB
 */
export function guestMemory(ram: number): number {
  let mib = 0;
  for (const own of ownMemory(ram).values()) mib += own;
  return mib;
}

/**
 * The same for each mapping, by its address.
 *
 * @param ram the size of each in MiB
 */
export function ownMemory(ram: number): Map<number, number> {
  const own = new Map<number, number>();
  let counts: number | undefined;
  for (const line of Deno.readTextFileSync("/proc/self/smaps").split("\n")) {
    const range = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
    if (range) {
      const [from, to] = range.slice(1).map((hex) => parseInt(hex, 16));
      const guests = /\/memfd:vireo|\/memory-[-\w]+$/.test(line) &&
        to! - from! <= ram << 20;
      counts = guests ? from : undefined;
      continue;
    }
    const kib = /^Anonymous: +(\d+) kB/.exec(line);
    if (counts !== undefined && kib) own.set(counts, Number(kib[1]) / 1024);
  }
  return own;
}
