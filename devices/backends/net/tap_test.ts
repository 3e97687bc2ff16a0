/** Frames through a descriptor, one system call each or in batches. */
import assert from "node:assert/strict";
import { Errno } from "../../../ffi/errno.ts";
import { Iovecs } from "../../../ffi/iovecs.ts";
import { Mapping } from "../../../ffi/memory/mmap.ts";
import { libc } from "../../../ffi/libc.ts";
import type { Frame } from "./backend.ts";
import { TapBackend } from "./tap.ts";
import { SocketPair } from "../testing/net.ts";

/** What a TAP's frames need not have. */
const UNUSED = { guestAddressAt: () => -1, lengthAt: () => 0 };

/** Frames of 100 bytes whose first byte is their number, in two pieces. */
class Frames implements Disposable {
  readonly memory = new Mapping(64 * 1024);
  readonly frames: Frame[];

  constructor(count: number, length = 100) {
    const iovecs = new Iovecs(this.memory, 0, 2 * count);
    const bytes = new Uint8Array(this.memory.buffer);
    this.frames = Array.from({ length: count }, (_, n) => {
      const start = 4096 + n * length;
      bytes[start] = n;
      const cut = n % 2 === 0 ? 1 : 40;
      const { address } = this.memory;
      const parts = [[start, cut], [start + cut, length - cut]] as const;
      parts.forEach(([at, size], i) =>
        iovecs.set(2 * n + i, address + at, size)
      );
      return {
        ...UNUSED,
        iovecs: iovecs.addressOf(2 * n),
        pointer: iovecs.pointerTo(2 * n),
        count: 2,
      };
    });
  }

  [Symbol.dispose](): void {
    this.memory.unmap();
  }
}

/** The numbers of the frames that have arrived at `fd`. */
function arrived(fd: number): number[] {
  const numbers: number[] = [];
  const buffer = new Uint8Array(2048);
  while (libc.read_u32(fd, buffer, buffer.length) > 0) numbers.push(buffer[0]!);
  return numbers;
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

for (const batched of [true, false]) {
  const how = batched ? "in a batch" : "one by one";

  Deno.test(`TapBackend: frames leave in order, ${how}`, () => {
    using pair = new SocketPair();
    using memory = new Frames(32);
    const tap = new TapBackend({ fd: pair.device, mtu: 1500 }, batched);
    for (const count of [1, 2, 7, 32]) {
      tap.send(memory.frames, count);
      const results = [...tap.results.subarray(0, count)];
      assert.deepEqual(results, new Array(count).fill(100));
      assert.deepEqual(arrived(pair.network), range(0, count));
    }
    tap.close();
  });

  Deno.test(`TapBackend: no room is EAGAIN and nothing is in flight, ${how}`, () => {
    using pair = new SocketPair();
    using memory = new Frames(32);
    const tap = new TapBackend({ fd: pair.device, mtu: 1500 }, batched);
    let sent = 0;
    for (let full = false; !full;) {
      tap.send(memory.frames, 32);
      const went = tap.results.filter((result) => result === 100).length;
      const waits = tap.results.filter((r) => r === -Errno.EAGAIN).length;
      assert.equal(went + waits, 32);
      // All that went are in front of all that wait.
      assert.equal(tap.results.indexOf(-Errno.EAGAIN), waits > 0 ? went : -1);
      sent += went;
      full = waits > 0;
    }
    // A write that had been put off would follow once there is room.
    const numbers = arrived(pair.network);
    assert.equal(numbers.length, sent);
    assert.deepEqual(numbers, range(0, sent).map((n) => n % 32));
    assert.deepEqual(arrived(pair.network), []);
    tap.close();
  });

  Deno.test(`TapBackend: a refused frame doesn't hold up the others, ${how}`, () => {
    using pair = new SocketPair();
    using memory = new Frames(4);
    const tap = new TapBackend({ fd: pair.device, mtu: 1500 }, batched);
    const bad: Frame = { ...UNUSED, iovecs: 4096, pointer: PAGE_1, count: 1 };
    const [first, second, third] = memory.frames as [Frame, Frame, Frame];
    tap.send([first, bad, second, third], 4);
    const results = [...tap.results.subarray(0, 4)];
    assert.deepEqual(results, [100, -Errno.EFAULT, 100, 100]);
    assert.deepEqual(arrived(pair.network), [0, 1, 2]);
    tap.close();
  });
}

/** An address that no process has. */
const PAGE_1 = Deno.UnsafePointer.create(4096n);

Deno.test("TapBackend: frames are received one at a time", () => {
  using pair = new SocketPair();
  using memory = new Frames(1);
  const tap = new TapBackend({ fd: pair.device, mtu: 1500 });
  assert.equal(tap.receive(memory.frames[0]!), -Errno.EAGAIN);
  const frame = Uint8Array.from({ length: 60 }, (_, i) => 200 - i);
  libc.write_u32(pair.network, frame, frame.length);
  assert.equal(tap.receive(memory.frames[0]!), 60);
  const bytes = new Uint8Array(memory.memory.buffer, 4096, 60);
  assert.deepEqual([...bytes], [...frame]);
  tap.close();
});
