/**
 * Where a page of a machine is to be: `[HOST:]PORT` or `unix:PATH`.
 *
 * @module
 */
import { absolutePath } from "../ffi/own_name.ts";
import { VireoError } from "../ffi/error.ts";

/** On TCP, or at a path. */
export type Place = { hostname: string; port: number } | { path: string };

const LOOPBACK = "127.0.0.1";
/** sizeof(sockaddr_un.sun_path), with its zero. */
const PATH_MAX = 108;

/**
 * Reads a place.
 *
 * @param option whose value it is, for messages
 * @param isPublic other hosts may come
 * @throws {VireoError} it is none, or not this host's own
 */
export function parsePlace(
  option: string,
  text: string,
  isPublic = false,
): Place {
  const wrong = (why: string) => new VireoError(`${option} ${text}: ${why}`);
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length);
    if (path === "") throw wrong("a path is missing after unix:");
    const absolute = absolutePath(path);
    if (new TextEncoder().encode(absolute).length < PATH_MAX) {
      return { path: absolute };
    }
    throw wrong(`a socket's path has at most ${PATH_MAX - 1} bytes`);
  }
  const [, host = LOOPBACK, digits] = /^(?:(.+):)?(\d+)$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === undefined || port > 65535) {
    throw wrong("not of the form [HOST:]PORT or unix:PATH");
  }
  const hostname = host.replace(/^\[(.*)\]$/, "$1");
  if (!isAddress(hostname)) {
    throw wrong(`"${host}" is no address: an IP address, or localhost`);
  }
  if (isPublic || isLoopback(hostname)) return { hostname, port };
  throw wrong("other hosts could come: only with --public");
}

/** True for an address that only this host can reach. */
export function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "::1" ||
    /^127(\.\d{1,3}){3}$/.test(hostname);
}

function isAddress(hostname: string): boolean {
  if (hostname === "localhost") return true;
  if (/^\d+(\.\d+){3}$/.test(hostname)) {
    return hostname.split(".").every((part) => Number(part) <= 255);
  }
  return hostname.includes(":") && URL.canParse(`http://[${hostname}]/`);
}
