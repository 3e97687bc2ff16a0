/**
 * For tests: a network with a DHCP server (RFC 2131), whose leases are
 * 10.0.0.N, N being the last byte of the client's MAC.
 *
 * @module
 */
const [ETHERNET, IP, UDP, BOOTP] = [0, 14, 34, 42];
const OPTIONS = BOOTP + 236;
const SERVER = [10, 0, 0, 1];
const DISCOVER = 1, REQUEST = 3, OFFER = 2, ACK = 5;

/** Gets each frame that the guest sends; what it returns, the guest gets. */
export default function (frame: Uint8Array): Uint8Array | undefined {
  const asks = frame[12] === 8 && frame[13] === 0 && frame[IP + 9] === 17 &&
    frame[UDP + 3] === 67;
  if (!asks) return undefined;
  const kind = option(frame, 53);
  if (kind !== DISCOVER && kind !== REQUEST) return undefined;
  const options = [
    ...[0x63, 0x82, 0x53, 0x63, 53, 1, kind === DISCOVER ? OFFER : ACK],
    ...[54, 4, ...SERVER, 51, 4, 0, 0, 14, 16, 1, 4, 255, 255, 255, 0, 255],
  ];
  const reply = new Uint8Array(OPTIONS + options.length);
  const view = new DataView(reply.buffer);
  reply.set([...Array(6).fill(0xff), 2, 0, 0, 0, 0, 1, 8, 0], ETHERNET);
  const size = reply.length - IP;
  reply.set([0x45, 0, size >> 8, size & 0xff, 0, 0, 0, 0, 64, 17], IP);
  reply.set([...SERVER, 255, 255, 255, 255], IP + 12);
  let sum = 0;
  for (let at = IP; at < UDP; at += 2) sum += view.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(IP + 10, ~sum & 0xffff);
  const length = reply.length - UDP;
  reply.set([0, 67, 0, 68, length >> 8, length & 0xff], UDP);
  reply.set(frame.subarray(BOOTP, BOOTP + 44), BOOTP); // its id, its MAC
  reply[BOOTP] = 2; // a reply
  reply.set([10, 0, 0, frame[BOOTP + 28 + 5]!], BOOTP + 16); // yiaddr
  reply.set(options, OPTIONS);
  return reply;
}

/** The first byte of an option. */
function option(frame: Uint8Array, code: number): number | undefined {
  for (let at = OPTIONS + 4; at < frame.length && frame[at] !== 255;) {
    if (frame[at] === code) return frame[at + 2];
    at += frame[at] === 0 ? 1 : 2 + frame[at + 1]!;
  }
  return undefined;
}
