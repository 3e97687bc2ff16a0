/**
 * What a snapshot's configuration names on the host, and who says that it may
 * be opened.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import type { Overrides } from "./restore.ts";
import type { SavedMachine } from "./saved_machine.ts";

/** Keys whose values are opened, joined or started on the host. */
const HOST_KEYS = [
  ...["path_on_host", "host_dev_name", "netns", "socket", "passt", "handler"],
  ...["pcap", "uds_path", "path", "memory_file"],
];
/** Code is never run on a snapshot's word. */
const CODE_KEYS = ["module"];

type Item = Record<string, unknown>;

/**
 * Checks that the caller has given all that a snapshot names on the host.
 *
 * @param trusted the snapshot's own word will do, but for modules
 * @throws {VireoError} what is to be given, in one line
 */
export function checkGiven(
  { config }: SavedMachine,
  overrides: Overrides,
  trusted: boolean,
): void {
  const keys = trusted ? CODE_KEYS : [...HOST_KEYS, ...CODE_KEYS];
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
