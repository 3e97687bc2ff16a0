/**
 * One run of one row on one virtual machine monitor.
 *
 * @module
 */
import { countFor, type Counts, perOperation } from "./counts.ts";
import type { Guest, Vmm } from "./guest.ts";
import { GUEST_ADDRESS, HOST_ADDRESS, Network, TAP } from "./network.ts";
import { hostCpuSeconds, VmmProcess } from "./process.ts";
import type { BenchRow, MemoryRow, Row, StartRow } from "./rows.ts";

/** C's virtual machine has as much. */
const RAM = 64;
const START_TIMEOUT = 30_000;
/** Of a benchmark, so that all of it is within. */
const COUNTED_PART = 0.6;
/** Each of the benchmarks that memory is looked at after, in ms. */
const WORK = 500;
/**
 * How long a machine goes on before its memory is looked at, in ms: Vireo lets
 * go of what only its start needed.
 */
const SETTLE = 8000;

/** What does not change between runs. */
export interface Surroundings {
  /** Path of the scratch image. */
  disk: string;
  /** Path of the program that sends frames; undefined without gcc. */
  frames?: string;
  /** Seconds that a benchmark lasts. */
  seconds: number;
  /** What operations ask of the kernel is counted; default: no. */
  counted?: boolean;
}

/** What a run gave. */
export interface Sample {
  /** In the row's unit. */
  value: number;
  /** Microseconds of CPU time of the process per operation. */
  cpu?: number;
  /** What an operation asks of the kernel, if that was counted. */
  counts?: Counts;
  /** Cores that other processes used meanwhile, the sender included. */
  others?: number;
  /** The payload's figures. */
  figures: Record<string, number>;
}

/** Runs `row` once on `vmm`. */
export async function measure(
  row: Row,
  vmm: Vmm,
  surroundings: Surroundings,
): Promise<Sample> {
  switch (row.measure.kind) {
    case "bench":
      return await measureBench(row.measure, vmm, surroundings);
    case "start":
      return await measureStart(row.measure, vmm, surroundings);
    case "memory":
      return await measureMemory(row.measure, vmm, surroundings);
  }
}

/** The unit of {@linkcode Sample.value}. */
export function unitOf({ measure }: Row): string {
  if (measure.kind === "bench") return measure.metric.unit;
  return measure.kind === "start" ? "ms" : "MiB";
}

async function measureBench(
  row: BenchRow,
  vmm: Vmm,
  { disk, frames, seconds, counted }: Surroundings,
): Promise<Sample> {
  const milliseconds = Math.round(seconds * 1000);
  await using network = row.network
    ? await Network.create(row.network.queue)
    : undefined;
  const guest: Guest = {
    // The second benchmark keeps the process alive while its CPU time is read.
    words: `bench=${row.bench},pio-read ms=${milliseconds} ${row.words} ` +
      `ip=${GUEST_ADDRESS} peer=${HOST_ADDRESS}`,
    memory: RAM,
    disk: row.disk && { path: disk, direct: row.disk === "direct" },
    network: network && { netns: network.netns, tap: TAP },
  };
  await using process = new VmmProcess(vmm.command(guest));
  const begins = row.network?.frames ? /^bench: ready/ : /^vireo payload:/;
  await process.line(begins, START_TIMEOUT);
  const sender = row.network?.frames &&
    network!.spawn(frames!, TAP, ...row.network.frames);
  const cpuBefore = process.cpuSeconds();
  const hostBefore = hostCpuSeconds();
  const begun = performance.now();
  const counting = counted
    ? countFor(process.pid, seconds * COUNTED_PART)
    : undefined;
  try {
    const timeout = START_TIMEOUT + milliseconds;
    const line = await process.line(/^bench: name=/, timeout);
    const cpu = process.cpuSeconds() - cpuBefore;
    const others = hostCpuSeconds() - hostBefore - cpu;
    const figures = parseFigures(line.text);
    const { key, scale } = row.metric;
    const counts = await counting;
    return {
      ...(counts && { counts: perOperation(counts, figures.ops! / seconds) }),
      value: figures[key]! / scale,
      cpu: cpu * 1e6 / figures.ops!,
      others: Math.max(0, others * 1000 / (performance.now() - begun)),
      figures,
    };
  } finally {
    sender?.kill("SIGKILL");
    await sender?.status;
  }
}

async function measureStart(
  row: StartRow,
  vmm: Vmm,
  { disk }: Surroundings,
): Promise<Sample> {
  const guest: Guest = {
    words: "hello",
    memory: RAM,
    ...(row.disk && { disk: { path: disk, direct: false } }),
  };
  await using process = new VmmProcess(vmm.command(guest));
  const line = vmm.started ?? /^payload: hello/;
  const { time } = await process.line(line, START_TIMEOUT);
  return { value: time, figures: {} };
}

async function measureMemory(
  { key }: MemoryRow,
  vmm: Vmm,
  { disk }: Surroundings,
): Promise<Sample> {
  await using network = await Network.create();
  const guest: Guest = {
    words: `bench=blk-randread,net-rr${",blk-randread".repeat(60)} ` +
      `ms=${WORK} qd=32 ` +
      `ip=${GUEST_ADDRESS} peer=${HOST_ADDRESS}`,
    memory: RAM,
    disk: { path: disk, direct: false },
    network: { netns: network.netns, tap: TAP },
  };
  await using process = new VmmProcess(vmm.command(guest));
  await process.line(/^bench: name=net-rr/, START_TIMEOUT);
  await new Promise((done) => setTimeout(done, SETTLE));
  const memory = process.memory(RAM);
  return { value: memory[key], figures: { ...memory } };
}

/** The numbers of `bench: name=NAME key=value ...`. */
export function parseFigures(line: string): Record<string, number> {
  const figures: Record<string, number> = {};
  for (const [, key, value] of line.matchAll(/(\w+)=(\d+)(?= |$)/g)) {
    figures[key!] = Number(value);
  }
  return figures;
}
