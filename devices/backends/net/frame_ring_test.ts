/** A ring of frames, at its edges. */
import assert from "node:assert/strict";
import { FrameRing } from "./frame_ring.ts";

const CAPACITY = 256;

/** Both ends of a ring. */
function ends(capacity = CAPACITY): [producer: FrameRing, consumer: FrameRing] {
  const shared = new SharedArrayBuffer(8 + FrameRing.byteLength(capacity));
  const end = () => new FrameRing(shared, 8, capacity);
  return [end(), end()];
}

/** Puts a frame of `length` bytes in, each of them `mark`; false: no room. */
function put(ring: FrameRing, mark: number, length: number): boolean {
  const room = ring.reserve(length);
  assert.ok(room === undefined || room.length === length);
  room?.fill(mark);
  if (room) ring.push();
  return room !== undefined;
}

/** The oldest frame, taken away. */
function take(ring: FrameRing): number[] | undefined {
  const frame = ring.peek();
  if (frame === undefined) return undefined;
  assert.deepEqual(ring.peek(), frame, "it stays until it is popped");
  const bytes = [...frame];
  ring.pop();
  return bytes;
}

Deno.test("FrameRing: frames of all lengths come out whole and in order, many times round", () => {
  const [producer, consumer] = ends();
  assert.equal(consumer.empty, true);
  assert.equal(take(consumer), undefined);
  const inside: number[][] = [];
  let refused = 0;
  for (let i = 0; i < 5000; i++) {
    const length = (i * 37) % 101;
    if (put(producer, i & 0xff, length)) {
      inside.push(new Array(length).fill(i & 0xff));
    } else {
      refused++;
      assert.ok(inside.length > 0, "an empty ring has room");
    }
    assert.equal(producer.empty, inside.length === 0);
    const leave = (i * 7) % 4; // now and then it fills up
    while (inside.length > leave) {
      assert.deepEqual(take(consumer), inside.shift());
    }
  }
  assert.ok(refused > 0, "it was full");
});

Deno.test("FrameRing: what is reserved and not pushed is not there", () => {
  const [producer, consumer] = ends();
  assert.ok(producer.reserve(100));
  assert.equal(consumer.peek(), undefined);
  assert.ok(put(producer, 5, 3));
  assert.deepEqual(take(consumer), [5, 5, 5]);
  assert.equal(producer.reserve(CAPACITY), undefined, "never fits");
});

Deno.test("FrameRing: its counters wrap after 4 GiB", () => {
  const shared = new SharedArrayBuffer(FrameRing.byteLength(CAPACITY));
  const indices = new Int32Array(shared);
  indices[0] = indices[16] = -CAPACITY | 0; // head and tail, just before
  const ring = new FrameRing(shared, 0, CAPACITY);
  for (let i = 0; i < 10; i++) {
    assert.ok(put(ring, i, 90));
    assert.deepEqual(take(ring), new Array(90).fill(i));
  }
  assert.ok(indices[0]! > 0, "it has wrapped");
});
