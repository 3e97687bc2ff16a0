/** Frames between a device and the main isolate. */
import assert from "node:assert/strict";
import { Errno } from "../../../ffi/errno.ts";
import { GuestMemory } from "../../../guest/memory.ts";
import { Epoll, Events } from "../../../ffi/epoll.ts";
import { until } from "../../../ffi/testing/until.ts";
import { frameAt } from "../testing/net.ts";
import { ChannelBackend, ChannelEnd } from "./frame_channel.ts";

const HEADER = 12;

/** A thread that waits for it wakes up. */
function wakes(fd: number): boolean {
  const epoll = new Epoll();
  epoll.add(fd, 0, Events.IN);
  const count = epoll.wait(0);
  epoll.close();
  return count > 0;
}

/** Both ends, in one thread, and a guest's memory. */
class Pair implements Disposable {
  readonly memory = GuestMemory.allocate(1 << 20, { hugePages: false });
  readonly end = new ChannelEnd();
  readonly device = new ChannelBackend(this.end.channel, this.memory, HEADER);
  /** The first byte of each frame that has come to the isolate. */
  readonly marks: number[] = [];
  rests = 0;
  readonly done = this.end.receive(
    (frame) => this.marks.push(frame[0]!),
    () => this.rests++,
  );

  /** The guest sends a frame of `length` bytes. */
  send(mark: number, length: number): number {
    this.memory.bytes(0x1000, HEADER + 16 + length).fill(mark);
    this.device.send([frameAt(0x1000, HEADER, length)], 1);
    return this.device.results[0]!;
  }

  /** The next frame for the guest. */
  receive(): number[] | undefined {
    const length = this.device.receive(frameAt(0x40000, 2000));
    if (length === -Errno.EAGAIN) return undefined;
    const bytes = [...this.memory.bytes(0x40000, length)];
    assert.deepEqual(bytes.splice(0, HEADER), new Array(HEADER).fill(0));
    return bytes;
  }

  [Symbol.dispose](): void {
    this.end[Symbol.dispose]();
    this.memory.free();
  }
}

Deno.test("ChannelBackend: frames go both ways, and each end is told", async () => {
  using pair = new Pair();
  const { end, device } = pair;
  assert.equal(pair.receive(), undefined);
  assert.equal(device.buffered, false);
  for (const mark of [1, 2, 3]) {
    assert.ok(end.send(Uint8Array.of(mark, mark)));
  }
  assert.equal(device.buffered, true);
  assert.equal(wakes(device.fd), true, "the device's thread wakes up");
  for (const mark of [1, 2, 3]) assert.deepEqual(pair.receive(), [mark, mark]);
  assert.equal(pair.receive(), undefined);
  assert.equal(wakes(device.fd), false);
  end.send(Uint8Array.of(4));
  assert.equal(wakes(device.fd), true, "and again");
  for (let mark = 10; mark < 13; mark++) {
    assert.equal(pair.send(mark, 60), HEADER + 60);
    await until(() => pair.marks.at(-1) === mark, `frame ${mark}`);
  }
  assert.equal(pair.send(9, 0), -Errno.EINVAL);
  assert.equal(end.lost, 0);
});

Deno.test("ChannelBackend: what has no room is lost and counted; others have their turn", async () => {
  using pair = new Pair();
  const COUNT = 2000; // of 1,514 bytes: six times the room
  for (let i = 0; i < COUNT; i++) {
    assert.equal(pair.send(i & 0xff, 1514), HEADER + 1514, "a guest goes on");
  }
  const { lost } = pair.end;
  assert.ok(lost > COUNT / 2, `${lost}`);
  const rests = pair.rests;
  await until(() => pair.marks.length === COUNT - lost, "those with room");
  assert.deepEqual(pair.marks, pair.marks.map((_, i) => i & 0xff));
  assert.ok(pair.rests >= rests + 2, "not all at once");
  let taken = 0;
  while (pair.end.send(new Uint8Array(1514).fill(taken & 0xff))) taken++;
  assert.ok(taken > 200 && taken < 400, `${taken}`);
  for (let i = 0; i < taken; i++) assert.equal(pair.receive()![0], i & 0xff);
});

Deno.test("ChannelEnd: closed, it ends its reader, hangs up, and takes nothing", async () => {
  using pair = new Pair();
  pair.end.close();
  await pair.done;
  assert.equal(pair.end.send(Uint8Array.of(1)), false);
  assert.equal(wakes(pair.device.fd), true, "hung up");
  assert.equal(pair.send(1, 60), HEADER + 60, "to nobody");
});
