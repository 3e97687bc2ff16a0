/** What a line does to frames, by the clock and by chance. */
import assert from "node:assert/strict";
import { until } from "../ffi/testing/until.ts";
import { Line } from "./line.ts";
import type { LinkShape } from "./shape.ts";

/** A line, and what has come out of it: each frame's first byte, and when. */
class Probe implements Disposable {
  readonly marks: number[] = [];
  readonly times: number[] = [];
  readonly line: Line;
  readonly #start = performance.now();

  constructor(readonly shape: LinkShape, seed = 1) {
    this.line = new Line(() => this.shape, seed, (frame) => {
      this.marks.push(frame[0]!);
      this.times.push(performance.now() - this.#start);
    });
  }

  push(mark: number, length = 100): void {
    const frame = new Uint8Array(length).fill(mark);
    this.line.push(frame);
    frame.fill(0xee); // the buffer is used again
  }

  async come(count: number): Promise<void> {
    const { marks } = this;
    await until(() => marks.length === count, `${count} frames`, () => marks);
  }

  [Symbol.dispose](): void {
    this.line.close();
  }
}

/** A clock that stands until it is disposed of. */
function standing(now: number): Disposable {
  const { now: real } = performance;
  performance.now = () => now;
  return { [Symbol.dispose]: () => void (performance.now = real) };
}

const range = (count: number) => Array.from({ length: count }, (_, i) => i);

Deno.test("Line: without a shape, a frame comes out as it goes in", () => {
  using probe = new Probe({});
  probe.push(7);
  assert.deepEqual(probe.marks, [7]);
});

Deno.test("Line: latency and jitter delay frames, none overtakes another", async () => {
  using probe = new Probe({ latency: 30, jitter: 20 });
  for (const mark of range(50)) probe.push(mark);
  assert.deepEqual(probe.marks, []);
  await probe.come(50);
  assert.deepEqual(probe.marks, range(50));
  assert.ok(probe.times[0]! >= 30, `${probe.times[0]}`);
});

Deno.test("Line: a rate gives each frame its time; who would wait long is lost", async () => {
  using probe = new Probe({ rate: 1e6 }); // 1250 bytes take 10 ms
  { // All come at once, however long this thread is kept from it.
    const now = performance.now();
    using _clock = standing(now);
    for (const mark of range(100)) probe.push(mark, 1250);
  }
  // The first goes at once, and no more wait than have their turn in 200 ms.
  assert.ok(probe.line.dropped >= 70, `${probe.line.dropped}`);
  const taken = 100 - probe.line.dropped;
  assert.ok(taken >= 20, `${taken}`);
  await probe.come(taken);
  assert.deepEqual(probe.marks, range(taken));
  probe.times.forEach((time, i) => {
    assert.ok(time >= 9.9 * (i + 1), `frame ${i} after ${time} ms`);
  });
});

Deno.test("Line: the same seed loses the same frames, about as many as asked for", () => {
  const lose = (seed: number) => {
    using probe = new Probe({ loss: 0.1 }, seed);
    for (let i = 0; i < 1000; i++) probe.push(i & 0xff);
    assert.equal(probe.line.lost + probe.marks.length, 1000);
    return probe;
  };
  const [one, same, other] = [lose(1), lose(1), lose(2)];
  assert.deepEqual(one.marks, same.marks);
  assert.notDeepEqual(one.marks, other.marks);
  for (const { line } of [one, other]) {
    assert.ok(line.lost > 60 && line.lost < 140, `${line.lost}`);
  }
});

Deno.test("Line: a loss of 1 is a cut, of 0 none, and both can come later", () => {
  const shape: LinkShape = { loss: 1 };
  using probe = new Probe(shape);
  probe.push(1);
  shape.loss = 0;
  probe.push(2);
  assert.deepEqual(probe.marks, [2]);
});

Deno.test("Line: what is on its way is bounded, and gone when it is closed", () => {
  using probe = new Probe({ latency: 60_000 });
  for (let i = 0; i < 100; i++) probe.push(1, 65_000);
  assert.equal(probe.line.dropped, 100 - 32); // 2 MiB
  for (let i = 0; i < 20_000; i++) probe.push(1, 14);
  assert.ok(probe.line.dropped > 19_000, "each costs more than its bytes");
  probe.line.close();
  probe.push(1);
  assert.equal(probe.marks.length, 0);
});
