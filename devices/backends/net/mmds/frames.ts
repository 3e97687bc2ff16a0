/**
 * Ethernet frames of ARP (RFC 826) and of TCP over IPv4 (RFC 791, RFC 9293), as
 * far as the metadata service needs them.
 *
 * @module
 */

/** The service's own address on the link. */
export const MMDS_MAC: Uint8Array = Uint8Array.of(6, 1, 0x23, 0x45, 0x67, 1);

/** Bytes of the Ethernet header. */
export const ETHERNET = 14;
const IPV4 = 20;
const TCP = 20;
const ARP = 28;
/** Headers in front of a segment's data, without options. */
export const HEADERS: number = ETHERNET + IPV4 + TCP;

const TYPE_IPV4 = 0x0800;
const TYPE_ARP = 0x0806;
const PROTOCOL_TCP = 6;
const ARP_REQUEST = 1;
const ARP_REPLY = 2;
const TTL = 64;

/** Bits of a segment. */
export const Flag = { FIN: 1, SYN: 2, RST: 4, PSH: 8, ACK: 16 } as const;

/** A segment that has come. */
export interface Segment {
  /** Who sent it, on the link. */
  mac: Uint8Array;
  /** And in the network. */
  address: number;
  port: number;
  /** Where to. */
  toPort: number;
  seq: number;
  ack: number;
  flags: number;
  window: number;
  /** The most data of a segment that it takes; only with SYN. */
  mss: number | undefined;
  data: Uint8Array;
}

/** How much of a frame tells whom it is for. */
export const PEEK: number = ETHERNET + ARP;

/** Whether a frame, of which these are the first bytes, is for `address`. */
export function isFor(head: Uint8Array, address: number): boolean {
  const view = viewOf(head);
  const type = view.getUint16(12);
  if (type === TYPE_IPV4) {
    return view.getUint32(ETHERNET + 16) === address;
  }
  return type === TYPE_ARP && view.getUint16(ETHERNET + 6) === ARP_REQUEST &&
    view.getUint32(ETHERNET + 24) === address;
}

/** What answers an ARP request for the service; undefined: it is none. */
export function arpReply(frame: Uint8Array): Uint8Array | undefined {
  if (frame.length < ETHERNET + ARP) return undefined;
  const view = viewOf(frame);
  if (view.getUint16(12) !== TYPE_ARP) return undefined;
  // Ethernet and IPv4: 1, 0x0800, 6, 4.
  if (view.getUint32(ETHERNET) !== 0x0001_0800) return undefined;
  if (view.getUint16(ETHERNET + 4) !== 0x0604) return undefined;
  const reply = new Uint8Array(ETHERNET + ARP);
  reply.set(frame.subarray(0, reply.length));
  const sender = frame.subarray(ETHERNET + 8, ETHERNET + 18); // MAC, address
  reply.set(frame.subarray(6, 12), 0);
  reply.set(MMDS_MAC, 6);
  viewOf(reply).setUint16(ETHERNET + 6, ARP_REPLY);
  reply.set(MMDS_MAC, ETHERNET + 8);
  reply.set(frame.subarray(ETHERNET + 24, ETHERNET + 28), ETHERNET + 14);
  reply.set(sender, ETHERNET + 18);
  return reply;
}

/**
 * The segment in a frame; undefined: it is no whole one. Checksums are not
 * looked at: nothing is lost on the way, and a driver may leave them undone.
 */
export function segmentOf(frame: Uint8Array): Segment | undefined {
  if (frame.length < HEADERS) return undefined;
  const view = viewOf(frame);
  if (view.getUint16(12) !== TYPE_IPV4) return undefined;
  const version = frame[ETHERNET]!;
  const ipLength = (version & 15) * 4;
  const total = view.getUint16(ETHERNET + 2);
  const fragment = view.getUint16(ETHERNET + 6) & 0x3fff;
  if (version >> 4 !== 4 || ipLength < IPV4 || fragment !== 0) return undefined;
  if (frame[ETHERNET + 9] !== PROTOCOL_TCP) return undefined;
  const tcp = ETHERNET + ipLength;
  const end = ETHERNET + total;
  if (end > frame.length || tcp + TCP > end) return undefined;
  const tcpLength = (frame[tcp + 12]! >> 4) * 4;
  if (tcpLength < TCP || tcp + tcpLength > end) return undefined;
  const flags = frame[tcp + 13]!;
  return {
    mac: frame.slice(6, 12),
    address: view.getUint32(ETHERNET + 12),
    port: view.getUint16(tcp),
    toPort: view.getUint16(tcp + 2),
    seq: view.getUint32(tcp + 4),
    ack: view.getUint32(tcp + 8),
    flags,
    window: view.getUint16(tcp + 14),
    mss: mssIn(frame.subarray(tcp + TCP, tcp + tcpLength)),
    data: frame.subarray(tcp + tcpLength, end),
  };
}

/** The option of kind 2 (RFC 9293, 3.2). */
function mssIn(options: Uint8Array): number | undefined {
  for (let at = 0; at < options.length;) {
    const kind = options[at]!;
    if (kind === 0) return undefined;
    if (kind === 1) {
      at++;
      continue;
    }
    const length = options[at + 1] ?? 0;
    if (length < 2 || at + length > options.length) return undefined;
    if (kind === 2 && length === 4) {
      return options[at + 2]! << 8 | options[at + 3]!;
    }
    at += length;
  }
}

/** What a segment of the service's says. */
export interface Reply {
  seq: number;
  ack: number;
  flags: number;
  window: number;
  data?: Uint8Array;
}

/** A segment of the service at `address`, to who sent `to`. */
export function replyTo(
  to: Pick<Segment, "mac" | "address" | "port" | "toPort">,
  address: number,
  { seq, ack, flags, window, data = NOTHING }: Reply,
): Uint8Array {
  const frame = new Uint8Array(HEADERS + data.length);
  const view = viewOf(frame);
  frame.set(to.mac, 0);
  frame.set(MMDS_MAC, 6);
  view.setUint16(12, TYPE_IPV4);
  frame[ETHERNET] = 0x45;
  view.setUint16(ETHERNET + 2, IPV4 + TCP + data.length);
  view.setUint16(ETHERNET + 6, 0x4000); // not to be cut
  frame[ETHERNET + 8] = TTL;
  frame[ETHERNET + 9] = PROTOCOL_TCP;
  view.setUint32(ETHERNET + 12, address);
  view.setUint32(ETHERNET + 16, to.address);
  const header = frame.subarray(ETHERNET, ETHERNET + IPV4);
  view.setUint16(ETHERNET + 10, folded(sum(header)));
  const tcp = ETHERNET + IPV4;
  view.setUint16(tcp, to.toPort);
  view.setUint16(tcp + 2, to.port);
  view.setUint32(tcp + 4, seq);
  view.setUint32(tcp + 8, ack);
  frame[tcp + 12] = TCP / 4 << 4;
  frame[tcp + 13] = flags;
  view.setUint16(tcp + 14, window);
  frame.set(data, HEADERS);
  const pseudo = sum(frame.subarray(ETHERNET + 12, ETHERNET + 20)) +
    PROTOCOL_TCP + TCP + data.length;
  view.setUint16(tcp + 16, folded(pseudo + sum(frame.subarray(tcp))));
  return frame;
}

const NOTHING = new Uint8Array();

/** The sum of 16-bit words (RFC 1071). */
function sum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += bytes[i]! << 8 | (bytes[i + 1] ?? 0);
  }
  return sum;
}

function folded(sum: number): number {
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x1_0000);
  return ~sum & 0xffff;
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}
