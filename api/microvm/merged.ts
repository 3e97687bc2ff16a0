/**
 * Parts of a configuration, put together.
 *
 * @module
 */
import { nameOf } from "../../vmm/snapshot/trust.ts";

/** An object of a configuration. */
export type Part = Record<string, unknown>;

/** Whether it is one. */
export function isPart(value: unknown): value is Part {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `a` with what `b` has, too; items of lists are the same by their names. */
export function mergedParts(a: unknown, b: unknown): unknown {
  if (Array.isArray(a) && Array.isArray(b)) {
    const merged = [...a];
    for (const item of b) {
      const index = indexOf(merged, item);
      if (index < 0) merged.push(item);
      else merged[index] = mergedParts(merged[index], item);
    }
    return merged;
  }
  if (!isPart(a) || !isPart(b)) return b ?? a;
  const merged = new Map(Object.entries(a));
  for (const [key, value] of Object.entries(b)) {
    merged.set(key, mergedParts(merged.get(key), value));
  }
  return Object.fromEntries(merged);
}

/** Where in `list` the device of the name of `item` is, or -1. */
export function indexOf(list: readonly unknown[], item: unknown): number {
  const name = nameOf(item);
  if (name === undefined) return -1;
  return list.findIndex((other) => nameOf(other) === name);
}
