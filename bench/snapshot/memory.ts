/**
 * What this process takes, and how much of it is guests' RAM of their own.
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
  let kib = 0;
  let counts = false;
  for (const line of Deno.readTextFileSync("/proc/self/smaps").split("\n")) {
    const range = /^([0-9a-f]+)-([0-9a-f]+) .*?(\/memfd:)?/.exec(line);
    if (range) {
      const size = parseInt(range[2]!, 16) - parseInt(range[1]!, 16);
      counts = line.includes("/memfd:vireo") && size <= ram << 20;
      continue;
    }
    const own = /^Anonymous: +(\d+) kB/.exec(line);
    if (counts && own) kib += Number(own[1]);
  }
  return kib / 1024;
}
