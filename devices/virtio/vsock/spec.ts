/**
 * Constants of the socket device (virtio 1.2 §5.10).
 *
 * @module
 */

/** Feature bits (§5.10.3). */
export const VsockFeature = { STREAM: 0, SEQPACKET: 1 } as const;

/** Queue numbers (§5.10.2). */
export const VsockQueue = { RECEIVE: 0, TRANSMIT: 1, EVENT: 2 } as const;

/** `sizeof(struct virtio_vsock_config)`: le64 guest_cid (§5.10.4). */
export const VSOCK_CONFIG_SIZE = 8;

/** `sizeof(struct virtio_vsock_hdr)`. */
export const VSOCK_HEADER_SIZE = 44;

/** `enum virtio_vsock_op` (§5.10.6). */
export const VsockOp = {
  INVALID: 0,
  REQUEST: 1,
  RESPONSE: 2,
  RST: 3,
  SHUTDOWN: 4,
  RW: 5,
  CREDIT_UPDATE: 6,
  CREDIT_REQUEST: 7,
} as const;

/** `VIRTIO_VSOCK_TYPE_STREAM`; the other, SEQPACKET, is not offered. */
export const VSOCK_TYPE_STREAM = 1;

/** Flags of SHUTDOWN (§5.10.6.4): what its sender will not do any more. */
export const ShutdownFlag = { RECEIVE: 1, SEND: 2, BOTH: 3 } as const;

/** The host's context id (§5.10.4). */
export const HOST_CID = 2;
