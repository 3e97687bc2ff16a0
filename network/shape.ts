/**
 * What a link does to frames.
 *
 * @module
 */
import { VireoError } from "../ffi/error.ts";

/**
 * What a link does to the frames of each direction; default nothing.
 *
 * @experimental
 */
export interface LinkShape {
  /** How long a frame is on its way, in milliseconds. */
  latency?: number;
  /**
   * Up to so many milliseconds more, evenly distributed; no frame overtakes
   * another.
   */
  jitter?: number;
  /** The probability that a frame is lost: 0 to 1, which cuts the link. */
  loss?: number;
  /**
   * Bits per second. A frame that would wait longer than 200 ms for its turn
   * is lost.
   */
  rate?: number;
  /**
   * Of loss and jitter: with the same seed the same frames of a port, counted
   * from its beginning, are lost. Default 1.
   */
  seed?: number;
}

/** Keys of a shape, with what each may be. */
const RANGES: Record<keyof LinkShape, [least: number, most: number]> = {
  latency: [0, 60_000],
  jitter: [0, 60_000],
  loss: [0, 1],
  rate: [1000, 1e12],
  seed: [0, 0xffff_ffff],
};

/**
 * The shape, when its values can be.
 *
 * @param what names it in errors
 * @throws {VireoError} one can't
 */
export function checkedShape(what: string, shape: LinkShape): LinkShape {
  const checked: LinkShape = {};
  for (const [name, range] of Object.entries(RANGES)) {
    const key = name as keyof LinkShape;
    const [least, most] = range;
    const value = shape[key];
    if (value === undefined) continue;
    if (!(typeof value === "number" && value >= least && value <= most)) {
      throw new VireoError(
        `${what}: ${key} ${value} is not a number from ${least} to ${most}`,
      );
    }
    checked[key] = value;
  }
  return checked;
}

/** Numbers from 0 up to 1 that only depend on `seed` (splitmix32). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32;
  };
}
