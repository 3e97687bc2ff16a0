/**
 * A network of one's own: the host 10.0.0.1, which answers ARP and ping.
 * README.md has a command for it.
 */
const MAC = [2, 0, 0, 0, 0, 1];
const IP = [10, 0, 0, 1];

/** Gets each frame that the guest sends; what it returns, the guest gets. */
export default function (frame: Uint8Array): Uint8Array | undefined {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const is = (at: number, bytes: number[]) =>
    bytes.every((byte, i) => frame[at + i] === byte);
  if (is(12, [0x08, 0x06]) && is(20, [0, 1]) && is(38, IP)) { // ARP: who has IP?
    frame.copyWithin(32, 22, 32); // its sender becomes the target
    frame.set([0, 2, ...MAC, ...IP], 20); // and this is the reply
  } else if (is(12, [0x08, 0x00]) && is(23, [1]) && is(30, IP) && is(34, [8])) {
    frame.copyWithin(30, 26, 30); // ICMP echo: back to its source
    frame.set(IP, 26);
    frame[34] = 0; // a reply; the checksum changes by as much
    const sum = view.getUint16(36) + 0x0800;
    view.setUint16(36, sum > 0xffff ? sum - 0xffff : sum);
  } else return;
  frame.copyWithin(0, 6, 12);
  frame.set(MAC, 6);
  return frame;
}
