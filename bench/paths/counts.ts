/**
 * What an operation asks of the host's kernel, counted by perf(1) (Debian's
 * linux-perf) while a benchmark runs. Counting takes time: it has a run of its
 * own.
 *
 * @module
 */

/** What is counted, and its event of the kernel's. */
const EVENTS = {
  "system calls": "raw_syscalls:sys_enter",
  "context switches": "context-switches",
  "exits to the VMM": "kvm:kvm_userspace_exit",
  "MMIO accesses": "kvm:kvm_mmio",
  "ends of interrupts": "kvm:kvm_eoi",
} as const;

/** Events per second, or per operation, by what is counted. */
export type Counts = Record<keyof typeof EVENTS, number>;

/** What can be counted, in the order of the table's columns. */
export const COUNTED = Object.keys(EVENTS) as (keyof Counts)[];

/**
 * Counts what all threads of a process do for so many seconds.
 *
 * @returns events per second
 * @throws {Error} perf isn't there, or may not count
 */
export async function countFor(
  pid: number,
  seconds: number,
): Promise<Counts> {
  const { success, stderr } = await new Deno.Command("perf", {
    args: [
      ...["stat", "-x", ",", "-e", Object.values(EVENTS).join(",")],
      ...["-p", `${pid}`, "--", "sleep", `${seconds}`],
    ],
    stdout: "null",
    stderr: "piped",
    env: { LC_ALL: "C" },
  }).output();
  const text = new TextDecoder().decode(stderr);
  if (!success) throw new Error(`perf: ${text.trim()}`);
  return parseCounts(text);
}

/** The lines of `perf stat -x,`: COUNT,UNIT,EVENT,NANOSECONDS,... */
export function parseCounts(text: string): Counts {
  const found = new Map(
    text.trim().split("\n").map((line) => {
      const [count, , event, nanoseconds] = line.split(",");
      return [event, Number(count) * 1e9 / Number(nanoseconds)];
    }),
  );
  const rate = (event: string) => {
    const value = found.get(event);
    if (value !== undefined && Number.isFinite(value)) return value;
    throw new Error(`perf: counts no ${event}: ${text.trim()}`);
  };
  return Object.fromEntries(
    COUNTED.map((name) => [name, rate(EVENTS[name])]),
  ) as Counts;
}

/** Events per operation, of events and operations per second. */
export function perOperation(counts: Counts, operations: number): Counts {
  return Object.fromEntries(
    COUNTED.map((name) => [name, counts[name] / operations]),
  ) as Counts;
}
