/**
 * Limits of a console's ports.
 *
 * @module
 */

/** The longest name of a port in bytes. */
export const PORT_NAME_MAX = 64;

/** The most ports: each has two queues, and so have the control messages. */
export const MAX_PORTS = 14;
