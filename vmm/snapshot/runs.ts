/**
 * Runs of pages: what a guest's RAM has in the place of an image's pages, with
 * the bytes.
 *
 * @module
 */
import type * as NodeBuffer from "node:buffer";
import { nodeModule } from "../../ffi/node_module.ts";
import type { PageRange } from "../../ffi/memory/pagemap.ts";

/** Bytes of a page. */
export const PAGE = 4096;
const ZEROS = new Uint8Array(PAGE);

/** Pages that follow each other. */
export interface Run extends PageRange {
  /** What is in them; undefined: zeros. */
  bytes: Uint8Array<ArrayBuffer> | undefined;
}

/** Bytes of RAM that `runs` are of. */
export function sizeOf(runs: readonly PageRange[]): number {
  return runs.reduce((sum, { from, to }) => sum + to - from, 0);
}

/** Puts runs together, page by page. */
export class RunCollector {
  /** So far, in order. */
  readonly runs: Run[] = [];

  /**
   * Adds whole pages, at `at` and behind all that was added before.
   *
   * @param wanted which of them; default all
   * @param kept nobody writes to `bytes` any more; default: they are copied
   */
  add(
    at: number,
    bytes: Uint8Array<ArrayBuffer>,
    wanted: (offset: number) => boolean = () => true,
    kept = false,
  ): void {
    const isZero = zeroPages(bytes);
    let start = 0; // of pages that are of one kind
    let kind: boolean | undefined; // zeros, data, or undefined: not wanted
    for (let offset = 0; offset <= bytes.length; offset += PAGE) {
      const next = offset < bytes.length && wanted(offset)
        ? isZero(offset)
        : undefined;
      if (next === kind && offset < bytes.length) continue;
      if (kind !== undefined) {
        const data = kept
          ? bytes.subarray(start, offset)
          : bytes.slice(start, offset);
        this.#append({
          from: at + start,
          to: at + offset,
          bytes: kind ? undefined : data,
        });
      }
      start = offset;
      kind = next;
    }
  }

  /** Zeros that follow each other are one run. */
  #append(run: Run): void {
    const last = this.runs.at(-1);
    const joins = last?.to === run.from && !last.bytes && !run.bytes;
    if (joins) last.to = run.to;
    else this.runs.push(run);
  }
}

/**
 * Puts what `runs`, which are in order, have of it into `bytes`, which is RAM
 * from `at` on.
 *
 * @returns how many bytes they have of it
 */
export function overlay(
  runs: readonly Run[],
  at: number,
  bytes: Uint8Array,
): number {
  const end = at + bytes.length;
  let sum = 0;
  for (let i = firstBehind(runs, at); i < runs.length; i++) {
    const { from, to, bytes: data } = runs[i]!;
    if (from >= end) break;
    const [start, stop] = [Math.max(from, at), Math.min(to, end)];
    if (data === undefined) bytes.fill(0, start - at, stop - at);
    else bytes.set(data.subarray(start - from, stop - from), start - at);
    sum += stop - start;
  }
  return sum;
}

/** The place of the first of `runs` that ends behind `at`. */
function firstBehind(runs: readonly Run[], at: number): number {
  let [low, high] = [0, runs.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (runs[middle]!.to <= at) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** What of `ranges` is not in `others`; both are in order. */
export function without(
  ranges: readonly PageRange[],
  others: readonly PageRange[],
): PageRange[] {
  const rest: PageRange[] = [];
  let next = 0;
  for (const { from, to } of ranges) {
    let at = from;
    while (at < to) {
      while (next < others.length && others[next]!.to <= at) next++;
      const other = others[next] ?? { from: to, to };
      if (other.from > at) {
        rest.push({ from: at, to: Math.min(to, other.from) });
      }
      at = Math.max(at, Math.min(to, other.to));
      if (other.from >= to) break;
    }
  }
  return rest;
}

/**
 * Tells which pages of `bytes` are all zeros, by their offsets. A comparison in
 * native code, which is ten times as fast as a loop.
 */
export function zeroPages(
  { buffer, byteOffset, length }: Uint8Array<ArrayBuffer>,
): (offset: number) => boolean {
  const { Buffer } = nodeModule<typeof NodeBuffer>("node:buffer");
  const bytes = Buffer.from(buffer, byteOffset, length);
  return (offset) =>
    bytes[offset] === 0 &&
    bytes.compare(ZEROS, 0, PAGE, offset, offset + PAGE) === 0;
}
