/**
 * Words that several options have.
 *
 * @module
 */
import { pathToFileURL } from "node:url";
import { VireoError } from "../../ffi/error.ts";

/**
 * A whole number.
 *
 * @throws {VireoError} when it is none
 */
export function parseCount(option: string, text: string): number {
  if (!/^\d+$/.test(text)) {
    throw new VireoError(`${option} ${text}: not a whole number`);
  }
  return Number(text);
}

/**
 * The URL of a module from its URL or path.
 *
 * @throws {VireoError} when there is no such file
 */
export function moduleUrl(option: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : pathToFileURL(text);
  if (url.protocol === "file:" && !isFile(url)) {
    throw new VireoError(`${option} ${text}: no such file`);
  }
  return url.href;
}

function isFile(url: URL): boolean {
  try {
    return Deno.statSync(url).isFile;
  } catch {
    return false;
  }
}
