/**
 * Where the guest finds the host's programs.
 *
 * @module
 */

/** Takes all that comes. */
export const SINK_PORT = 5009;
/** Sends, and closes. */
export const SOURCE_PORT = 5010;
