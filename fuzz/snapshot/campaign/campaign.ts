/**
 * What a campaign is: one thing is done to machines many times over, and each
 * time is looked at.
 *
 * @module
 */
import type { Need } from "../../../ffi/testing/needs.ts";

/** One campaign. */
export interface Campaign {
  /** How often, if nobody says otherwise. */
  readonly rounds: number;
  /** What the host has to have; a string is a program. */
  readonly needs: readonly (Need | string)[];
  /**
   * Does it.
   *
   * @param rounds how often, 1 at least
   * @param say takes how far it is
   * @returns what was seen, in a few words
   * @throws what was not as it must be
   */
  run(rounds: number, say: (line: string) => void): Promise<string>;
}

/** `12 (9 to 30)`: the median, with the least and the greatest. */
export function spread(values: readonly number[], digits = 0): string {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part: number) =>
    sorted[Math.floor(part * (sorted.length - 1))]?.toFixed(digits) ?? "-";
  return `${at(0.5)} (${at(0)} to ${at(1)})`;
}

/** A folder that goes with its scope. */
export class Folder implements Disposable {
  /** Where it is. */
  readonly path: string = Deno.makeTempDirSync({ prefix: "vireo-campaign-" });

  /** Removes it with all that is in it. */
  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}
