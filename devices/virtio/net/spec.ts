/**
 * Constants of the network device (virtio 1.2 §5.1), and what it says of itself
 * with them: features and configuration space.
 *
 * @module
 */
import { Feature, type FeatureWords, featureWords } from "../spec.ts";

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
  CTRL_VQ: 17,
  CTRL_RX: 18,
  GUEST_ANNOUNCE: 21,
  MQ: 22,
  CTRL_MAC_ADDR: 23,
} as const;

/** Those that a backend without offloads can't carry out. */
const OFFLOAD_FEATURES: readonly number[] = [
  NetFeature.CSUM,
  NetFeature.GUEST_CSUM,
  NetFeature.GUEST_TSO4,
  NetFeature.GUEST_TSO6,
  NetFeature.GUEST_ECN,
  NetFeature.HOST_TSO4,
  NetFeature.HOST_TSO6,
  NetFeature.HOST_ECN,
];

/** Offsets in `struct virtio_net_config` (§5.1.4). */
export const NetConfig = {
  mac: 0,
  status: 6,
  max_virtqueue_pairs: 8,
  mtu: 10,
  SIZE: 12,
} as const;

/** Bits of {@linkcode NetConfig.status} (§5.1.4). */
export const NetStatus = { LINK_UP: 1, ANNOUNCE: 2 } as const;

/** Classes of control commands (§5.1.6.5). */
export const NetControlClass = { RX: 0, MAC: 1, ANNOUNCE: 3, MQ: 4 } as const;
/** Commands of class RX (§5.1.6.5.1). */
export const NetControlRx = { PROMISC: 0, ALLMULTI: 1 } as const;
/** Commands of class MAC (§5.1.6.5.2). */
export const NetControlMac = { TABLE_SET: 0, ADDR_SET: 1 } as const;
/** The one command of class ANNOUNCE (§5.1.6.5.4). */
export const ANNOUNCE_ACK = 0;
/** The one command of class MQ (§5.1.6.5.5). */
export const VQ_PAIRS_SET = 0;
/** What a command comes to (§5.1.6.5). */
export const NetAck = { OK: 0, ERR: 1 } as const;

/** `sizeof(struct virtio_net_hdr_v1)` (§5.1.6). */
export const NET_HEADER_SIZE = 12;
/** Offset of `num_buffers` in it. */
export const NET_HEADER_NUM_BUFFERS = 10;

/** Queue numbers of the first pair (§5.1.2). */
export const NetQueue = { RECEIVE: 0, TRANSMIT: 1 } as const;

/** Descriptors of a receive or transmit queue, at most. */
export const NET_QUEUE_SIZE = 256;
/** Descriptors of the control queue, at most. */
export const CONTROL_QUEUE_SIZE = 64;

/** Bytes of an Ethernet header with a VLAN tag. */
export const ETHERNET_HEADER = 18;

/** The largest frame with segmentation offload (§5.1.6.3.1). */
export const TSO_FRAME = 65550;

/** The features of a device with `pairs` of queues. */
export function netFeatures(offloads: boolean, pairs: number): FeatureWords {
  const own = Object.values(NetFeature).filter((bit) =>
    (offloads || !OFFLOAD_FEATURES.includes(bit)) &&
    (pairs > 1 || bit !== NetFeature.MQ)
  );
  return featureWords(Feature.INDIRECT_DESC, Feature.EVENT_IDX, ...own);
}

/** The configuration space at the start: the link is up. */
export function netConfig(
  mac: Uint8Array,
  mtu: number,
  pairs: number,
): Uint8Array {
  const bytes = new Uint8Array(NetConfig.SIZE);
  const config = new DataView(bytes.buffer);
  bytes.set(mac, NetConfig.mac);
  config.setUint16(NetConfig.status, NetStatus.LINK_UP, true);
  config.setUint16(NetConfig.max_virtqueue_pairs, pairs, true);
  config.setUint16(NetConfig.mtu, mtu, true);
  return bytes;
}
