/**
 * Alternating runs and what they say: medians, and ratios pair by pair,
 * which noise that lasts longer than a run does not touch.
 *
 * @module
 */
import type { Counts } from "./counts.ts";
import type { Vmm, VmmName } from "./guest.ts";
import type { Sample } from "./measure.ts";
import type { Row } from "./rows.ts";

/** Middle, least and greatest of some numbers. */
export interface Spread {
  median: number;
  min: number;
  max: number;
}

/** One side of a row. */
export interface Side {
  vmm: VmmName;
  settings: string;
  samples: Sample[];
  value: Spread;
  /** Microseconds of CPU time per operation. */
  cpu?: Spread;
}

/** A row's outcome; `peer` is missing when it could not be run. */
export interface Outcome {
  row: Row;
  vireo: Side;
  peer?: Side;
  /** Vireo's value beside the peer's as the goal has it, pair by pair. */
  compared?: Spread;
  /** Another peer, and Vireo's value over that one's. */
  also?: { side: Side; ratio: Spread } | undefined;
  /** Why there is no peer. */
  missing?: string;
  /** What an operation of each side asks of the kernel, where it was counted. */
  counts?: { vmm: VmmName; counts: Counts }[];
}

/** Runs once. */
export type Runner = (vmm: Vmm) => Promise<Sample>;

/** Runs A B C A B C ..., `pairs` times each, or as many of them as there are. */
export async function alternate(
  row: Row,
  vireo: Vmm,
  peer: Vmm | undefined,
  also: Vmm | undefined,
  pairs: number,
  run: Runner,
): Promise<Outcome> {
  const samples: Sample[] = [];
  const peerSamples: Sample[] = [];
  const alsoSamples: Sample[] = [];
  for (let i = 0; i < pairs; i++) {
    samples.push(await run(vireo));
    if (peer) peerSamples.push(await run(peer));
    if (also) alsoSamples.push(await run(also));
  }
  const over = (others: readonly Sample[]) =>
    spread(samples.map(({ value }, i) => value / others[i]!.value));
  const beyond = (others: readonly Sample[]) =>
    spread(samples.map(({ value }, i) => value - others[i]!.value));
  const compare = row.goal.of === "ratio" ? over : beyond;
  return {
    row,
    vireo: side(vireo, samples),
    ...(peer && {
      peer: side(peer, peerSamples),
      compared: compare(peerSamples),
    }),
    also: also && { side: side(also, alsoSamples), ratio: over(alsoSamples) },
  };
}

/** Runs each variant once and gives the one with the best value. */
export async function best(
  row: Row,
  variants: readonly Vmm[],
  run: Runner,
): Promise<Vmm> {
  if (variants.length === 1) return variants[0]!;
  const values: number[] = [];
  for (const variant of variants) values.push((await run(variant)).value);
  const wanted = row.goal.atMost ? Math.min(...values) : Math.max(...values);
  return variants[values.indexOf(wanted)]!;
}

/** True when the medians of the pairs reach the row's goal. */
export function reached({ row, compared, also }: Outcome): boolean {
  const { limit, atMost, firecracker } = row.goal;
  const does = ({ median }: Spread, limit: number) =>
    atMost ? median <= limit : median >= limit;
  if (!compared || !does(compared, limit)) return false;
  return !also || firecracker === undefined || does(also.ratio, firecracker);
}

/** Median, minimum and maximum; of an even number the mean of the middle. */
export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  const median = sorted.length % 2 === 1
    ? sorted[half]!
    : (sorted[half - 1]! + sorted[half]!) / 2;
  return { median, min: sorted[0]!, max: sorted.at(-1)! };
}

function side(vmm: Vmm, samples: Sample[]): Side {
  const cpu = samples.flatMap((sample) => sample.cpu ?? []);
  return {
    vmm: vmm.name,
    settings: vmm.settings,
    samples,
    value: spread(samples.map(({ value }) => value)),
    ...(cpu.length > 0 && { cpu: spread(cpu) }),
  };
}
