/**
 * What the host refuses, in the words that clients of Firecracker know.
 *
 * @module
 */
import { errnoText, SystemError } from "../ffi/errno.ts";

/** What the host objected to: `No such file or directory (os error 2)`. */
export function osError(code: number): string {
  return `${errnoText(code)} (os error ${code})`;
}

/** What is to be told of an exception, in a line. */
export function objection(error: unknown): string {
  if (error instanceof SystemError) return osError(error.errno);
  if (!(error instanceof Error)) return String(error);
  // Deno's own errors say it, too: "No such file or directory (os error 2): ..."
  const said = /^.* \(os error \d+\)/.exec(error.message)?.[0];
  return said ?? error.message.split("\n")[0]!;
}
