/**
 * The metadata service of a network interface: `mmds` in its configuration.
 *
 * @module
 */
import type { MmdsSettings } from "../../devices/backends/net/mmds/http.ts";
import {
  boolean,
  formatted,
  type Keys,
  object,
  oneOf,
  own,
} from "../config/schema/rule.ts";

/**
 * Data for the guest over HTTP, from the device itself:
 * `machine.command(iface_id, { type: "mmds", store })` says what.
 */
export interface MetadataService {
  /** `V2`, the default, wants a session token with each request; `V1` none. */
  version?: "V1" | "V2";
  /** Where, link-local; default 169.254.169.254. */
  ipv4_address?: string;
  /** Text is answered whatever is asked for, as by EC2's. */
  imds_compat?: boolean;
}

const LINK_LOCAL = "an address like 169.254.169.254";

const MMDS_KEYS: Keys<MetadataService, "version"> = {
  version: own(oneOf(["V2", "V1"]), "`V2` wants session tokens.", "V2"),
  ipv4_address: own(
    formatted("a link-local address", LINK_LOCAL, isLinkLocal),
    "Its address. Default 169.254.169.254.",
  ),
  imds_compat: own(boolean, "Text is answered whatever is asked for."),
};

/** What is taken of one. */
export const metadataService = object<MetadataService, "version">(MMDS_KEYS);

function isLinkLocal(text: string): boolean {
  const [a, b, c, d, ...more] = text.split(".").map((part) =>
    /^\d{1,3}$/.test(part) ? Number(part) : NaN
  );
  // RFC 3927, 2.1: the first and last 256 are reserved.
  return a === 169 && b === 254 && c! >= 1 && c! <= 254 && d! <= 255 &&
    more.length === 0;
}

/** The same, with its defaults. */
export function mmdsSettings(
  { version = "V2", ipv4_address, imds_compat = false }: MetadataService,
): MmdsSettings {
  const address = ipv4_address ?? "169.254.169.254";
  return { version, address, imdsCompat: imds_compat };
}
