/**
 * Constants of the console device (virtio 1.2 §5.3), and limits of its ports.
 *
 * @module
 */

/** Feature bits (§5.3.3). */
export const ConsoleFeature = {
  SIZE: 0,
  MULTIPORT: 1,
  EMERG_WRITE: 2,
} as const;

/** Offsets in `struct virtio_console_config` (§5.3.4). */
export const ConsoleConfig = {
  cols: 0,
  rows: 2,
  max_nr_ports: 4,
  emerg_wr: 8,
  SIZE: 12,
} as const;

/** Queue numbers (§5.3.2); those of port n > 0 are 2 + 2n and 3 + 2n. */
export const ConsoleQueue = {
  RECEIVE: 0,
  TRANSMIT: 1,
  CONTROL_RECEIVE: 2,
  CONTROL_TRANSMIT: 3,
} as const;

/** Control messages (§5.3.6.2). */
export const ConsoleEvent = {
  DEVICE_READY: 0,
  DEVICE_ADD: 1,
  DEVICE_REMOVE: 2,
  PORT_READY: 3,
  CONSOLE_PORT: 4,
  RESIZE: 5,
  PORT_OPEN: 6,
  PORT_NAME: 7,
} as const;

/** `sizeof(struct virtio_console_control)`: le32 id, le16 event, le16 value. */
export const CONTROL_SIZE = 8;

/** The longest name of a port in bytes. */
export const PORT_NAME_MAX = 64;

/** The most ports: each has two queues, and so have the control messages. */
export const MAX_PORTS = 14;

/** The port of the agent in the prepared root image's init. */
export const AGENT_PORT = "org.vireo.agent";
