/** Frames to and from a function. */
import assert from "node:assert/strict";
import pong from "../../../examples/pong.ts";
import { Errno } from "../../../ffi/errno.ts";
import { GuestMemory } from "../../../guest/memory.ts";
import { type FrameHandler, HandlerBackend } from "./handler.ts";
import { frameAt } from "../testing/net.ts";

const HEADER = 12;

/** A backend over `handler`, and a guest's memory. */
class Handled implements Disposable {
  readonly memory = GuestMemory.allocate(1 << 20, { hugePages: false });
  readonly log: string[] = [];
  readonly backend: HandlerBackend;

  constructor(handler: FrameHandler) {
    const log = (message: string) => this.log.push(message);
    this.backend = new HandlerBackend(handler, this.memory, HEADER, log);
  }

  /** Sends `bytes`; the result. */
  send(bytes: number[]): number {
    const { memory, backend } = this;
    memory.write(0x1000 + HEADER + 16, Uint8Array.from(bytes));
    backend.send([frameAt(0x1000, HEADER, bytes.length)], 1);
    return backend.results[0]!;
  }

  /** The next frame for the guest, or undefined. */
  receive(): number[] | undefined {
    const length = this.backend.receive(frameAt(0x8000, 2000));
    if (length === -Errno.EAGAIN) return undefined;
    const bytes = [...this.memory.bytes(0x8000, length)];
    assert.deepEqual(bytes.splice(0, HEADER), new Array(HEADER).fill(0));
    return bytes;
  }

  [Symbol.dispose](): void {
    this.backend.close();
    this.memory.free();
  }
}

Deno.test("HandlerBackend: gets frames without header; one, many or no answers", () => {
  const seen: number[][] = [];
  using handled = new Handled((frame) => {
    seen.push([...frame]);
    if (frame[0] === 1) return Uint8Array.of(10);
    if (frame[0] === 2) return [Uint8Array.of(20), Uint8Array.of(21)];
  });
  assert.equal(handled.receive(), undefined);
  for (const n of [1, 2, 3]) assert.equal(handled.send([n, 9]), HEADER + 2);
  assert.deepEqual(seen, [[1, 9], [2, 9], [3, 9]]);
  assert.deepEqual([1, 2, 3].map(() => handled.receive()), [[10], [20], [21]]);
  assert.equal(handled.receive(), undefined);
});

Deno.test("HandlerBackend: an exception costs the frame, and is told once", () => {
  using handled = new Handled((frame) => {
    if (frame[0] === 1) throw new Error("no such host");
    return frame[0] === 2 ? "text" as unknown as Uint8Array : frame;
  });
  assert.equal(handled.send([1]), -Errno.EIO);
  assert.equal(handled.send([2]), -Errno.EIO);
  assert.equal(handled.send([3]), HEADER + 1);
  assert.deepEqual(handled.receive(), [3]);
  assert.deepEqual(handled.log, [
    "network: frame handler: Error: no such host",
  ]);
});

Deno.test("HandlerBackend: what the guest doesn't take is lost, not kept for ever", () => {
  using handled = new Handled((frame) => new Array(500).fill(frame));
  for (const n of [1, 2, 3]) handled.send([n]);
  let frames = 0;
  while (handled.receive()) frames++;
  assert.equal(frames, 1024);
});

const GUEST_MAC = [2, 0, 0, 0, 0, 9];
const GUEST_IP = [10, 0, 0, 2];
const PONG_MAC = [2, 0, 0, 0, 0, 1];
const PONG_IP = [10, 0, 0, 1];

/** RFC 1071, over 16-bit words. */
function checksum(bytes: number[]): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += bytes[i]! * 256 + (bytes[i + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

Deno.test("examples/pong.ts: answers ARP for its address, and no other", () => {
  using handled = new Handled(pong);
  const ask = (ip: number[]) => [
    ...[...new Array(6).fill(255), ...GUEST_MAC, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
    ...[...GUEST_MAC, ...GUEST_IP, ...new Array(6).fill(0), ...ip],
  ];
  handled.send(ask([10, 0, 0, 3]));
  assert.equal(handled.receive(), undefined);
  handled.send(ask(PONG_IP));
  assert.deepEqual(handled.receive(), [
    ...[...GUEST_MAC, ...PONG_MAC, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2],
    ...[...PONG_MAC, ...PONG_IP, ...GUEST_MAC, ...GUEST_IP],
  ]);
});

Deno.test("examples/pong.ts: a ping comes back with right checksums", () => {
  using handled = new Handled(pong);
  for (const data of [[1, 2, 3, 4], [255, 255, 248, 0], [0, 0, 247, 255]]) {
    const echo = [8, 0, 0, 0, 0, 7, 0, 1, ...data];
    const sum = checksum(echo);
    echo.splice(2, 2, sum >> 8, sum & 255);
    const ip = [0x45, 0, 0, 32, 0, 0, 0, 0, 64, 1, 0, 0];
    ip.push(...GUEST_IP, ...PONG_IP);
    handled.send([...PONG_MAC, ...GUEST_MAC, 8, 0, ...ip, ...echo]);
    const reply = handled.receive()!;
    assert.deepEqual(reply.slice(0, 12), [...GUEST_MAC, ...PONG_MAC]);
    assert.deepEqual(reply.slice(26, 34), [...PONG_IP, ...GUEST_IP]);
    assert.equal(reply[34], 0, "an echo reply");
    assert.equal(checksum(reply.slice(34)), 0);
    assert.deepEqual(reply.slice(38), echo.slice(4));
  }
});
