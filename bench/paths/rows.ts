/**
 * The paths that are measured, and what each must reach.
 *
 * @module
 */
import type { Settings } from "./vireo.ts";

/** Which of the payload's figures counts, and how it is shown. */
export interface Metric {
  /** A key of the payload's `bench:` line. */
  key: "ns_per_op" | "ops_per_s" | "bytes_per_s";
  /** Divides it. */
  scale: number;
  /** The unit of the quotient. */
  unit: string;
}

/** What is to be reached. */
export interface Goal {
  /** Of what: Vireo's value over the peer's, or what it is beyond it. */
  of: "ratio" | "difference";
  /** The bound; of a difference, in the row's unit. */
  limit: number;
  /** Less is better: the bound is the greatest that will do. */
  atMost: boolean;
  /** The same for Firecracker, where it runs; default: none. */
  firecracker?: number;
}

/** A path. */
export interface Row {
  /** For `--only`. */
  name: string;
  /** For readers. */
  title: string;
  /**
   * Against whom: `vireo` is Vireo without the row's settings, `empty` a program
   * of Deno's that does nothing.
   */
  peer: "c" | "qemu" | "vireo" | "empty";
  goal: Goal;
  /** Settings of Vireo that are on trial. */
  settings?: Settings;
  /** What is measured. */
  measure: BenchRow | StartRow | MemoryRow;
}

/** A benchmark that the payload runs and reports. */
export interface BenchRow {
  kind: "bench";
  /** The payload's name for it. */
  bench: string;
  /** Its settings. */
  words: string;
  metric: Metric;
  /** The machine has a disk; how it is opened. */
  disk?: "cached" | "direct";
  /** The machine has a TAP; what the host sends through it. */
  network?: { frames?: string[]; queue?: number };
  /** The device threads of Vireo and the C peer poll, or sleep. */
  polling?: boolean;
}

/** Time from the process's start to the guest's first line. */
export interface StartRow {
  kind: "start";
  /** Vireo as a library, or a command. */
  program: "library" | "boot" | "run";
  /** With a disk, and so with a device worker. */
  disk?: boolean;
}

/** Memory of the process without the guest's RAM. */
export interface MemoryRow {
  kind: "memory";
  /** A field of `Memory`. */
  key: "pss" | "alone";
}

const MICROSECONDS: Metric = { key: "ns_per_op", scale: 1e3, unit: "us" };
const KILO_OPS: Metric = { key: "ops_per_s", scale: 1e3, unit: "k/s" };
const MEGABYTES: Metric = { key: "bytes_per_s", scale: 1e6, unit: "MB/s" };
const GIGABITS: Metric = { key: "bytes_per_s", scale: 1.25e8, unit: "Gbit/s" };

const atMost = (limit: number): Goal => ({ of: "ratio", limit, atMost: true });
const atLeast = (limit: number): Goal => ({
  of: "ratio",
  limit,
  atMost: false,
});

/** What is to be reached of Firecracker's speed, whatever of QEMU's. */
const OF_FIRECRACKER = 0.9;

function alsoFirecracker(goal: Goal): Goal {
  const { atMost } = goal;
  const firecracker = atMost ? 1 / OF_FIRECRACKER : OF_FIRECRACKER;
  return { ...goal, firecracker };
}

function exit(name: string, title: string, goal: number): Row {
  const [bench, ring] = name.split("@") as [string, string];
  return {
    name,
    title: `${title}, guest at CPL${ring}`,
    peer: "c",
    goal: atMost(goal),
    settings: { mapped_registers: false }, // which spares the guest this
    measure: {
      kind: "bench",
      bench,
      words: `ring=${ring}`,
      metric: MICROSECONDS,
      disk: "cached",
    },
  };
}

function doorbell(
  name: string,
  title: string,
  words: string,
  goal: number,
): Row {
  return {
    name,
    title,
    peer: "c",
    goal: atMost(goal),
    measure: {
      kind: "bench",
      bench: "doorbell",
      words,
      metric: MICROSECONDS,
      disk: "cached",
      polling: name === "doorbell-polling",
    },
  };
}

function disk(
  name: string,
  title: string,
  words: string,
  open: "cached" | "direct",
  goal: number,
  metric: Metric = KILO_OPS,
): Row {
  const order = name.startsWith("seq") ? "seq" : "rand";
  const bench = `blk-${order}${name.includes("write") ? "write" : "read"}`;
  return {
    name,
    title,
    peer: "qemu",
    goal: alsoFirecracker(atLeast(goal)),
    measure: { kind: "bench", bench, words, metric, disk: open },
  };
}

function network(
  name: string,
  title: string,
  words: string,
  goal: Goal,
  metric: Metric,
  frames?: string[],
): Row {
  const bench = name.split("-").slice(0, 2).join("-");
  return {
    name,
    title,
    peer: "qemu",
    goal: alsoFirecracker(goal),
    measure: {
      kind: "bench",
      bench,
      words,
      metric,
      network: { frames, queue: frames === LARGE ? LARGE_QUEUE : undefined },
    },
  };
}

/** A start beside a program of Deno's that only starts as many workers. */
function beyondEmpty(
  name: string,
  title: string,
  measure: Omit<StartRow, "kind">,
  limit: number,
): Row {
  const workers = measure.disk ? "2 workers" : "1 worker";
  return {
    name,
    title: `start beyond an empty program with ${workers}, ${title}`,
    peer: "empty",
    goal: { of: "difference", limit, atMost: true },
    measure: { kind: "start", ...measure },
  };
}

const RANDOM = "blk 4 KiB random";
const SMALL = ["64"];
const LARGE = ["65214", "gso"];

/** 4 MiB of large frames, as a TCP window is. */
const LARGE_QUEUE = 64;

/** Rows of the table against C and QEMU. */
export const PEER_ROWS: readonly Row[] = [
  exit("mmio-read@0", "MMIO read exit", 1.1),
  exit("mmio-read@3", "MMIO read exit", 1.1),
  exit("pio-read@0", "PIO read exit", 1.1),
  exit("pio-read@3", "PIO read exit", 1.1),
  exit("mmio-ack@0", "InterruptStatus read + ACK", 1.15),
  doorbell(
    "doorbell-sleeping",
    "doorbell to completion, both sleep, by irqfd",
    "wait=irq",
    1.1,
  ),
  doorbell(
    "doorbell-flag",
    "doorbell to completion, device sleeps, by a flag in RAM",
    "wait=poll",
    1.1,
  ),
  doorbell(
    "doorbell-polling",
    "doorbell to completion, both poll",
    "wait=poll",
    1.5,
  ),
  disk("read-qd1", `${RANDOM} read, page cache, QD1`, "qd=1", "cached", 1.2),
  disk(
    "read-qd1-irq",
    `${RANDOM} read, page cache, QD1, by interrupt`,
    "qd=1 wait=irq",
    "cached",
    1.5,
  ),
  disk("read-qd32", `${RANDOM} read, page cache, QD32`, "qd=32", "cached", 1.2),
  disk(
    "read-qd32-irq",
    `${RANDOM} read, page cache, QD32, by interrupt`,
    "qd=32 wait=irq",
    "cached",
    1.35,
  ),
  disk(
    "write-qd1",
    `${RANDOM} write, page cache, QD1`,
    "qd=1",
    "cached",
    4,
  ),
  disk(
    "write-qd32",
    `${RANDOM} write, page cache, QD32`,
    "qd=32",
    "cached",
    1.6,
  ),
  disk("read-direct", `${RANDOM} read, O_DIRECT, QD32`, "qd=32", "direct", 1),
  disk(
    "write-direct",
    `${RANDOM} write, O_DIRECT, QD32`,
    "qd=32",
    "direct",
    1,
  ),
  disk(
    "seq-cached",
    "blk 128 KiB sequential read, page cache, QD8",
    "bs=128K qd=8 segments=32",
    "cached",
    1,
    MEGABYTES,
  ),
  disk(
    "seq-direct",
    "blk 128 KiB sequential read, O_DIRECT, QD8",
    "bs=128K qd=8 segments=32",
    "direct",
    1,
    MEGABYTES,
  ),
  disk(
    "seq-write",
    "blk 128 KiB sequential write, page cache, QD8",
    "bs=128K qd=8 segments=32",
    "cached",
    1.4,
    MEGABYTES,
  ),
  disk(
    "seq-cached-1",
    "blk 128 KiB sequential read, page cache, QD8, 1 segment",
    "bs=128K qd=8",
    "cached",
    1,
    MEGABYTES,
  ),
  disk(
    "seq-write-1",
    "blk 128 KiB sequential write, page cache, QD8, 1 segment",
    "bs=128K qd=8",
    "cached",
    1.4,
    MEGABYTES,
  ),
  network("net-tx", "net 64 B frames out", "qd=256", atLeast(1.2), KILO_OPS),
  network("net-rx", "net 64 B frames in", "", atLeast(1.2), KILO_OPS, SMALL),
  network(
    "net-rx-irq",
    "net 64 B frames in, by interrupt",
    "wait=irq",
    atLeast(1),
    KILO_OPS,
    SMALL,
  ),
  network(
    "net-tx-tso",
    "net 64 KiB TSO frames out",
    "frame=65214 qd=64 offload",
    atLeast(1),
    GIGABITS,
  ),
  network(
    "net-rx-tso",
    "net 64 KiB TSO frames in",
    "offload",
    atLeast(1.3),
    GIGABITS,
    LARGE,
  ),
  network("net-rr", "ping over the TAP", "", atMost(1), MICROSECONDS),
  network(
    "net-rr-irq",
    "ping over the TAP, by interrupt",
    "wait=irq",
    atMost(0.8),
    MICROSECONDS,
  ),
  {
    name: "start",
    title: "process start to the guest's first line, library",
    peer: "qemu",
    goal: atMost(0.8),
    measure: { kind: "start", program: "library" },
  },
  {
    name: "start-boot",
    title: "process start to the guest's first line, `vireo boot`",
    peer: "qemu",
    goal: atMost(0.8),
    measure: { kind: "start", program: "boot" },
  },
  beyondEmpty("beyond-library", "library", { program: "library" }, 40),
  beyondEmpty(
    "beyond-library-disk",
    "library, with a disk",
    { program: "library", disk: true },
    40,
  ),
  beyondEmpty("beyond-boot", "`vireo boot`", { program: "boot" }, 70),
  beyondEmpty("beyond-run", "`vireo run`", { program: "run" }, 70),
  {
    name: "memory",
    title: "memory above guest RAM, 1 vCPU + blk + net, alone",
    peer: "qemu",
    goal: atMost(1),
    measure: { kind: "memory", key: "alone" },
  },
  {
    name: "memory-pss",
    title: "PSS above guest RAM, as others run",
    peer: "qemu",
    goal: atMost(1),
    measure: { kind: "memory", key: "pss" },
  },
];
