/** Frames through a stream socket. */
import assert from "node:assert/strict";
import { Errno } from "../../../ffi/errno.ts";
import { libc } from "../../../ffi/libc.ts";
import { GuestMemory } from "../../../guest/memory.ts";
import { StreamBackend } from "./stream.ts";
import { frameAt, SocketPair } from "../testing/net.ts";
import { gather } from "../../../guest/testing/iovecs.ts";

const HEADER = 12;

/** A backend, and the other end of its socket. */
class Stream implements Disposable {
  readonly memory = GuestMemory.allocate(1 << 20, { hugePages: false });
  readonly pair = new SocketPair(true);
  readonly backend = new StreamBackend(this.pair.device, this.memory, HEADER);

  /** Bytes that have come to the other end. */
  read(most = 1 << 20): Uint8Array<ArrayBuffer> {
    const all = new Uint8Array(most);
    let length = 0;
    for (;;) {
      const room = all.subarray(length);
      const bytes = libc.read_u32(this.pair.network, room, room.length);
      if (bytes <= 0) return all.subarray(0, length);
      length += bytes;
    }
  }

  /** The frames in what {@linkcode Stream.read} gives, which must be whole. */
  frames(): Uint8Array[] {
    return split(this.read());
  }

  /** The other end writes. */
  write(...bytes: number[]): void {
    const data = Uint8Array.from(bytes);
    const { network } = this.pair;
    assert.equal(libc.write_u32(network, data, data.length), data.length);
  }

  [Symbol.dispose](): void {
    this.backend.close();
    this.pair[Symbol.dispose]();
    this.memory.free();
  }
}

function split(bytes: Uint8Array): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const frames: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = view.getUint32(at);
    assert.ok(at + 4 + length <= bytes.length, "a frame in part");
    frames.push(bytes.slice(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return frames;
}

Deno.test("StreamBackend: frames leave without header, behind their length", () => {
  using stream = new Stream();
  const { memory, backend } = stream;
  const sent = [100, 1514, 13].map((length, n) => {
    const frame = frameAt(0x1000 * (n + 1), 10, length - 10);
    memory.bytes(0x1000 * (n + 1), length + 16).fill(n + 1);
    return frame;
  });
  backend.send(sent, 3);
  assert.deepEqual([...backend.results.slice(0, 3)], [100, 1514, 13]);
  assert.equal(backend.unsent, false);
  const frames = stream.frames();
  assert.deepEqual(frames.map((frame) => frame.length), [88, 1502, 1]);
  frames.forEach((frame, n) => assert.ok(frame.every((b) => b === n + 1)));
});

Deno.test("StreamBackend: a frame with nothing behind its header is refused", () => {
  using stream = new Stream();
  const { backend } = stream;
  const frames = [frameAt(0, 12), frameAt(0, 5), frameAt(0, 60)];
  backend.send(frames, 3);
  const { EINVAL } = Errno;
  assert.deepEqual([...backend.results.slice(0, 3)], [-EINVAL, -EINVAL, 60]);
  assert.equal(stream.frames().length, 1);
});

Deno.test("StreamBackend: what has no room waits, whole and in order", () => {
  using stream = new Stream();
  const { memory, backend } = stream;
  const LENGTH = 60_000;
  let next = 0; // number of the next frame to be taken
  const frames = Array.from({ length: 8 }, (_, i) => frameAt(i << 16, LENGTH));
  const taken: number[] = [];
  let waited = false;
  const pending = () => {
    for (let i = 0; i < 8; i++) {
      memory.bytes((i << 16) + HEADER, 4).fill(next + i);
      memory.bytes((i << 16) + LENGTH - 4, 4).fill(next + i);
    }
  };
  const stash: Uint8Array<ArrayBuffer>[] = [];
  for (let round = 0; round < 20; round++) {
    pending();
    backend.send(frames, 8);
    const results = [...backend.results.slice(0, 8)];
    const went = results.filter((result) => result === LENGTH).length;
    // Those that went come first; no later one has overtaken.
    assert.equal(results.lastIndexOf(LENGTH), went - 1);
    assert.ok(results.slice(went).every((r) => r === -Errno.EAGAIN));
    for (let i = 0; i < went; i++) taken.push(next + i);
    next += went;
    waited ||= backend.unsent;
    stash.push(stream.read(150_000));
  }
  assert.ok(waited, "the socket was full");
  while (backend.unsent) {
    backend.send(frames, 0);
    stash.push(stream.read());
  }
  stash.push(stream.read());
  const got = split(gather(stash));
  assert.deepEqual(got.map((frame) => frame[0]), taken.map((n) => n & 0xff));
  assert.deepEqual(got.map((frame) => frame.at(-1)), got.map((f) => f[0]));
});

Deno.test("StreamBackend: frames arrive behind a header of zeros, however cut", () => {
  using stream = new Stream();
  const { memory, backend } = stream;
  const room = frameAt(0x1000, 20, 2000);
  memory.bytes(0x1000, 3000).fill(0xee);
  assert.equal(backend.receive(room), -Errno.EAGAIN);
  stream.write(0, 0);
  assert.equal(backend.receive(room), -Errno.EAGAIN);
  stream.write(0, 60, ...new Array(59).fill(7));
  assert.equal(backend.receive(room), -Errno.EAGAIN);
  assert.equal(backend.buffered, false);
  stream.write(8, 0, 0, 0, 1, 9);
  assert.equal(backend.receive(room), HEADER + 60);
  assert.deepEqual([...memory.bytes(0x1000, 12)], new Array(12).fill(0));
  assert.deepEqual([...memory.bytes(0x100c, 8)], new Array(8).fill(7));
  assert.equal(memory.bytes(0x1000 + 20 + 16 + 51, 1)[0], 8, "its last byte");
  assert.equal(memory.bytes(0x1000 + 20 + 16 + 52, 1)[0], 0xee);
  assert.equal(backend.buffered, true, "no event will tell of the next");
  assert.equal(backend.receive(room), HEADER + 1);
  assert.equal(backend.receive(room), -Errno.EAGAIN);
});

Deno.test("StreamBackend: a length that can't be ends the connection", () => {
  using stream = new Stream();
  const { backend } = stream;
  const room = frameAt(0x1000, 2000);
  stream.write(0, 0, 0, 1, 5, 0xff, 0xff, 0xff, 0xff, 1, 2, 3);
  assert.equal(backend.receive(room), HEADER + 1);
  assert.equal(backend.receive(room), -Errno.EPIPE);
  assert.equal(backend.receive(room), -Errno.EPIPE);
  backend.send([room], 1);
  assert.equal(backend.results[0], -Errno.EINVAL);
  assert.equal(backend.unsent, false);
  const byte = new Uint8Array(1);
  assert.equal(libc.read_u32(stream.pair.network, byte, 1), 0, "hung up");
});

Deno.test("StreamBackend: the other end's death harms nobody", () => {
  using stream = new Stream();
  const { backend } = stream;
  const room = frameAt(0x1000, 2000);
  stream.pair.hangUp();
  backend.send([room, room], 2);
  assert.equal(backend.unsent, false);
  assert.ok(backend.receive(room) < 0);
});
