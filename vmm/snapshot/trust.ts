/**
 * What a snapshot's configuration names on the host, and who says that it may
 * be opened.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { CONFIG } from "../config/keys.ts";
import type { KeyTable, Named } from "../config/schema/rule.ts";
import type { Overrides } from "./restore.ts";
import type { SavedMachine } from "./saved_machine.ts";

/** Keys whose rules say that their values name such a thing, in any part. */
export function keysThatName(
  what: Named,
  keys: KeyTable = CONFIG.keys ?? {},
): string[] {
  return Object.entries(keys).flatMap(([key, { rule }]) => [
    ...(rule.names === what ? [key] : []),
    ...keysThatName(what, rule.keys ?? {}),
  ]);
}

type Item = Record<string, unknown>;

/**
 * Checks that the caller has given all that a snapshot names on the host.
 *
 * @param trusted the snapshot's own word will do, but for code
 * @throws {VireoError} what is to be given, in one line
 */
export function checkGiven(
  { config }: SavedMachine,
  overrides: Overrides,
  trusted: boolean,
): void {
  const keys = keysThatName("code"); // which is never run on its word
  if (!trusted) keys.push(...keysThatName("host"));
  const missing = Object.entries(config).flatMap(([key, value]) =>
    missingIn(key, value, overrides[key as keyof Overrides], keys)
  );
  if (missing.length === 0) return;
  throw new VireoError(
    `snapshot: to be given, since it names them on this host` +
      `${trusted ? "" : " and is not where you saved it"}: ` +
      missing.join(", "),
  );
}

/**
 * What of `value` is under one of `keys`, and not given: `at: key` of each.
 *
 * @param given the overrides of it
 */
export function missingIn(
  at: string,
  value: unknown,
  given: unknown,
  keys: readonly string[],
): string[] {
  if (Array.isArray(value)) {
    return value.flatMap((item, index) => {
      const name = nameOf(item);
      const others = Array.isArray(given) ? given : [];
      const other = name === undefined
        ? others[index]
        : others.find((one) => nameOf(one) === name);
      return missingIn(`${at} ${name ?? index}`, item, other, keys);
    });
  }
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    const other = (given as Item | undefined)?.[key];
    if (!keys.includes(key)) {
      return missingIn(`${at} ${key}`, inner, other, keys);
    }
    const means = inner !== undefined && inner !== null && inner !== false;
    return means && other === undefined ? [`${at}: ${key}`] : [];
  });
}

/** What an item of a list is called. */
export function nameOf(item: unknown): unknown {
  const { drive_id, iface_id, name } = (item ?? {}) as Item;
  return drive_id ?? iface_id ?? name;
}
