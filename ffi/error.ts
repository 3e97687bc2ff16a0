/**
 * The error for users. It needs no permission to be imported.
 *
 * @module
 */

/**
 * A failure whose message is one clear line for the user: what failed, where,
 * and what to do. The command line prints it without a stack trace.
 */
export class VireoError extends Error {
  /** The class's name, for `console.error` and tests. */
  override name = "VireoError";
}

/**
 * What to tell the user of an exception: a line, but for one that Vireo did not
 * expect, which has its stack.
 */
export function errorText(error: unknown): string {
  if (error instanceof VireoError) return error.message;
  if (error instanceof Error) return error.stack ?? error.message;
  return String(error);
}
