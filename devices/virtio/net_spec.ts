/**
 * Constants of the network device (virtio 1.2 §5.1).
 *
 * @module
 */

/** Feature bits (§5.1.3). */
export const NetFeature = {
  CSUM: 0,
  GUEST_CSUM: 1,
  MTU: 3,
  MAC: 5,
  GUEST_TSO4: 7,
  GUEST_TSO6: 8,
  GUEST_ECN: 9,
  HOST_TSO4: 11,
  HOST_TSO6: 12,
  HOST_ECN: 13,
  MRG_RXBUF: 15,
  STATUS: 16,
} as const;

/** Offsets in `struct virtio_net_config` (§5.1.4). */
export const NetConfig = { mac: 0, status: 6, mtu: 10, SIZE: 12 } as const;

/** Bits of {@linkcode NetConfig.status} (§5.1.4). */
export const NetStatus = { LINK_UP: 1 } as const;

/** `sizeof(struct virtio_net_hdr_v1)` (§5.1.6). */
export const NET_HEADER_SIZE = 12;
/** Offset of `num_buffers` in it. */
export const NET_HEADER_NUM_BUFFERS = 10;

/** Queue numbers of the first pair (§5.1.2). */
export const NetQueue = { RECEIVE: 0, TRANSMIT: 1 } as const;

/** Descriptors of a receive or transmit queue, at most. */
export const NET_QUEUE_SIZE = 256;

/** Bytes of an Ethernet header with a VLAN tag. */
export const ETHERNET_HEADER = 18;

/** The largest frame with segmentation offload (§5.1.6.3.1). */
export const TSO_FRAME = 65550;
