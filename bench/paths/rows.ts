/**
 * The paths that are measured, and what each must reach.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
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

/** A path. */
export interface Row {
  /** For `--only`. */
  name: string;
  /** For readers. */
  title: string;
  /** Against whom; `vireo` is Vireo without the row's settings. */
  peer: "c" | "qemu" | "vireo";
  /** The ratio of Vireo to the peer that is to be reached. */
  goal: { ratio: number; atMost: boolean };
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
  /** Vireo as a library or as the command line. */
  program: "library" | "command-line";
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

const atMost = (ratio: number) => ({ ratio, atMost: true });
const atLeast = (ratio: number) => ({ ratio, atMost: false });

function exit(name: string, title: string, goal: number): Row {
  const [bench, ring] = name.split("@") as [string, string];
  return {
    name,
    title: `${title}, guest at CPL${ring}`,
    peer: "c",
    goal: atMost(goal),
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
    goal: atLeast(goal),
    measure: { kind: "bench", bench, words, metric, disk: open },
  };
}

function network(
  name: string,
  title: string,
  words: string,
  goal: { ratio: number; atMost: boolean },
  metric: Metric,
  frames?: string[],
): Row {
  const bench = name.split("-").slice(0, 2).join("-");
  return {
    name,
    title,
    peer: "qemu",
    goal,
    measure: {
      kind: "bench",
      bench,
      words,
      metric,
      network: { frames, queue: frames === LARGE ? LARGE_QUEUE : undefined },
    },
  };
}

const RANDOM = "blk 4 KiB random";
const SMALL = ["64"];
const LARGE = ["65214", "gso"];

/** 4 MiB of large frames, as a TCP window is. */
const LARGE_QUEUE = 64;

/** Rows of the table against C and QEMU. */
const PEER_ROWS: readonly Row[] = [
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
    1.2,
  ),
  disk("read-qd32", `${RANDOM} read, page cache, QD32`, "qd=32", "cached", 1.2),
  disk(
    "read-qd32-irq",
    `${RANDOM} read, page cache, QD32, by interrupt`,
    "qd=32 wait=irq",
    "cached",
    1.2,
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
  network("net-tx", "net 64 B frames out", "qd=256", atLeast(1.2), KILO_OPS),
  network("net-rx", "net 64 B frames in", "", atLeast(1.2), KILO_OPS, SMALL),
  network(
    "net-rx-irq",
    "net 64 B frames in, by interrupt",
    "wait=irq",
    atLeast(1.2),
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
    atLeast(1),
    GIGABITS,
    LARGE,
  ),
  network("net-rr", "ping over the TAP", "", atMost(1), MICROSECONDS),
  network(
    "net-rr-irq",
    "ping over the TAP, by interrupt",
    "wait=irq",
    atMost(1),
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
    measure: { kind: "start", program: "command-line" },
  },
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

/** A row of the table, with settings on trial against Vireo without them. */
function trial(name: string, suffix: string, settings: Settings): Row {
  const row = PEER_ROWS.find((row) => row.name === name)!;
  return {
    ...row,
    name: `${suffix}-${name}`,
    title: `${row.title}, ${suffix} against without`,
    peer: "vireo",
    goal: { ...row.goal, ratio: 1 },
    settings,
  };
}

const PACKED: Settings = { packed_rings: true };
const PCI: Settings = { transport: "pci" };

/** All rows, in the order of the table. */
export const ROWS: readonly Row[] = [
  ...PEER_ROWS,
  ...["doorbell-polling", "read-qd1", "read-qd32", "read-qd32-irq", "net-tx"]
    .map((name) => trial(name, "packed", PACKED)),
  ...[
    "doorbell-sleeping",
    "read-qd1-irq",
    "read-qd32",
    "read-qd32-irq",
    "net-rr",
  ]
    .map((name) => trial(name, "pci", PCI)),
];

/** The rows whose names are, or begin with, one of `names`; all for none. */
export function selectRows(names: readonly string[]): Row[] {
  const unknown = names.filter((name) =>
    !ROWS.some((row) => row.name.startsWith(name))
  );
  if (unknown.length > 0) {
    const known = ROWS.map((row) => row.name).join(" ");
    throw new VireoError(
      `--only: no row ${unknown.join(", ")}; there are: ${known}`,
    );
  }
  return ROWS.filter(({ name }) =>
    names.length === 0 || names.some((prefix) => name.startsWith(prefix))
  );
}
