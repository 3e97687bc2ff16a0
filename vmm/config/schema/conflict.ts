/**
 * What is wrong with values that are right alone.
 *
 * @module
 */
import type { Finding } from "./rule.ts";

/** A conflict at `path`, in words. */
export function conflict(path: string, expected: string): Finding {
  return { path, code: "conflict", expected };
}

/**
 * Items of a list that have the name of another.
 *
 * @param list the list's path
 * @param key the key of the name
 * @param names the items' names
 */
export function twice(
  list: string,
  key: string,
  names: readonly string[],
): Finding[] {
  return names.flatMap((value, index): Finding[] => {
    const first = names.indexOf(value);
    if (first === index) return [];
    const path = `${list}[${index}].${key}`;
    return [{ path, code: "taken", value, at: `${list}[${first}]` }];
  });
}
