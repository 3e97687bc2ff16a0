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
