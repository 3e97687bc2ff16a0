/**
 * `--gdb`, of whatever runs a machine.
 *
 * @module
 */
import { VireoError } from "../ffi/error.ts";
import { didYouMean } from "../vmm/devices/words.ts";
import type { OptionRow } from "../vmm/devices/kind.ts";
import type { GdbAddress } from "../vmm/introspection/gdb.ts";

const UNIX = "unix";
const WAIT = "wait";
const FORM = "unix, unix:PATH, PORT or ADDRESS:PORT, then [,wait]";
const LOOPBACK = ["127.0.0.1", "::1", "localhost"];

/** The option. */
export const GDB: OptionRow = {
  flags: "--gdb <where>",
  about: 'let gdb attach: unix[:PATH] or [ADDRESS:]PORT; ",wait" for it to ' +
    "let the guest begin",
  values: [UNIX],
  words: [WAIT],
};

/** Where gdb can attach, and whether the guest waits for it. */
export interface GdbOption {
  /** Where; undefined: where control sockets are. */
  address?: GdbAddress;
  /** The guest begins when gdb lets it. */
  wait: boolean;
}

/**
 * What the option's value says; undefined without one.
 *
 * @throws {VireoError} it is of no such form, or no place of this host's own
 */
export function parseGdb(text?: string): GdbOption | undefined {
  if (text === undefined) return undefined;
  const refuse = (why: string) => new VireoError(`--gdb ${text}: ${why}`);
  // A comma in a path is written twice.
  const [where = "", ...words] = text.replaceAll(",,", "\0").split(",")
    .map((word) => word.replaceAll("\0", ","));
  const unknown = words.find((word) => word !== WAIT);
  if (unknown !== undefined) {
    const meant = didYouMean(unknown, [WAIT]);
    throw refuse(`unknown word "${unknown}"${meant}; ${FORM}`);
  }
  const wait = words.length > 0;
  if (where === UNIX) return { wait };
  const path = /^unix:(.+)$/s.exec(where)?.[1];
  if (path !== undefined) return { address: { path }, wait };
  const match = /^(?:(\[[^\]]*\]|[^:]*):)?(\d{1,5})$/.exec(where);
  if (match === null) throw refuse(`not of the form ${FORM}`);
  const hostname = match[1]?.replace(/^\[|\]$/g, "") || LOOPBACK[0]!;
  const port = Number(match[2]);
  if (port > 65535) throw refuse("a port is at most 65535");
  if (LOOPBACK.includes(hostname)) return { address: { hostname, port }, wait };
  throw refuse(
    `only on ${LOOPBACK.join(", ")}: who gets there owns the guest; from ` +
      `elsewhere, by ssh -L ${port}:localhost:${port}`,
  );
}
