/**
 * Runs of pages: what a guest's RAM has in the place of an image's pages, with
 * the bytes.
 *
 * @module
 */
import type { PageRange } from "../../ffi/memory/pagemap.ts";

/** Bytes of a page. */
export const PAGE = 4096;
const PAGE_WORDS = PAGE / 4;

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
   * Adds copies of whole pages, at `at` and behind all that was added before.
   *
   * @param wanted which of them; default all
   */
  add(
    at: number,
    bytes: Uint8Array<ArrayBuffer>,
    wanted: (offset: number) => boolean = () => true,
  ): void {
    const words = wordsOf(bytes);
    let start = 0; // of pages that are of one kind
    let kind: boolean | undefined; // zeros, data, or undefined: not wanted
    for (let offset = 0; offset <= bytes.length; offset += PAGE) {
      const next = offset < bytes.length && wanted(offset)
        ? isZero(words, offset / 4)
        : undefined;
      if (next === kind && offset < bytes.length) continue;
      if (kind !== undefined) {
        const data = kind ? undefined : bytes.slice(start, offset);
        this.#append({ from: at + start, to: at + offset, bytes: data });
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

/** All pages that are in either, in order. */
export function union(
  a: readonly PageRange[],
  b: readonly PageRange[],
): PageRange[] {
  const all: PageRange[] = [];
  for (const { from, to } of [...a, ...b].sort((x, y) => x.from - y.from)) {
    const last = all.at(-1);
    if (last && from <= last.to) last.to = Math.max(last.to, to);
    else all.push({ from, to });
  }
  return all;
}

/** `bytes` as 32-bit words; they begin at a multiple of 4. */
export function wordsOf(
  { buffer, byteOffset, length }: Uint8Array<ArrayBuffer>,
): Uint32Array<ArrayBuffer> {
  return new Uint32Array(buffer, byteOffset, length / 4);
}

/** Whether the page that begins with the word `from` is all zeros. */
export function isZero(words: Uint32Array, from: number): boolean {
  for (let i = from; i < from + PAGE_WORDS; i++) {
    if (words[i] !== 0) return false;
  }
  return true;
}

/** Whether the pages at the word `from` are the same. */
export function isSame(a: Uint32Array, b: Uint32Array, from: number): boolean {
  for (let i = from; i < from + PAGE_WORDS; i++) {
    if (a[i] !== b[i]) return false;
  }
  return true;
}
