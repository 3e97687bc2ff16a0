/** Token buckets as Firecracker defines them, with a clock of the test's own. */
import assert from "node:assert/strict";
import { EventLoop } from "./event_loop.ts";
import { changeLimits, RateLimiter, type RateLimits } from "./rate_limiter.ts";

/** A limiter whose time is `now`. */
function limiterAt(limits: RateLimits) {
  const time = { now: 1000 };
  const limiter = new RateLimiter(limits, () => time.now);
  return {
    limiter,
    /** Goes on `milliseconds` later, as if the timer had expired. */
    later(milliseconds: number) {
      time.now += milliseconds;
      limiter.onReady();
    },
    /** Takes operations of `bytes` until one is refused; how many went. */
    drain(bytes = 0): number {
      let count = 0;
      while (limiter.take(bytes)) count++;
      return count;
    },
    [Symbol.dispose]: () => limiter.close(),
  };
}

Deno.test("RateLimiter: a full bucket goes at once, then comes back at its rate", () => {
  using test = limiterAt({ ops: { size: 10, refill_time: 100 } });
  assert.equal(test.drain(), 10);
  assert.equal(test.limiter.blocked, true);
  test.later(9);
  assert.equal(test.drain(), 0, "a token takes 10 ms");
  test.later(1);
  assert.equal(test.drain(), 1);
  test.later(55);
  assert.equal(test.drain(), 5);
  test.later(5);
  assert.equal(test.drain(), 1, "half a token was kept");
  test.later(1e6);
  assert.equal(test.drain(), 10, "never more than its size");
});

Deno.test("RateLimiter: a bucket that was full all the time gives its size once", () => {
  using test = limiterAt({ bandwidth: { size: 1000, refill_time: 1000 } });
  test.later(60_000);
  assert.equal(test.drain(100), 10);
});

Deno.test("RateLimiter: the one-time burst is on top, and never comes back", () => {
  using test = limiterAt({
    ops: { size: 5, one_time_burst: 20, refill_time: 50 },
  });
  assert.equal(test.drain(), 25);
  test.later(1000);
  assert.equal(test.drain(), 5);
});

Deno.test("RateLimiter: an operation takes from both buckets or from none", () => {
  using test = limiterAt({
    bandwidth: { size: 1000, refill_time: 1000 },
    ops: { size: 3, refill_time: 1000 },
  });
  assert.equal(test.limiter.take(900), true);
  assert.equal(test.limiter.take(200), false, "bytes are missing");
  test.later(0);
  assert.equal(test.limiter.take(100), true);
  test.later(0);
  assert.equal(test.limiter.take(0), true, "no operation was lost meanwhile");
  test.later(0);
  assert.equal(test.limiter.take(0), false, "operations are missing");
});

Deno.test("RateLimiter: what is larger than the bucket goes when it is full, and leaves a debt", () => {
  using test = limiterAt({ bandwidth: { size: 1000, refill_time: 1000 } });
  assert.equal(test.limiter.take(1), true);
  assert.equal(test.limiter.take(5000), false);
  test.later(1);
  assert.equal(test.limiter.take(5000), true);
  assert.equal(test.limiter.take(1), false);
  test.later(4000);
  assert.equal(test.limiter.take(1), false, "the debt is 4000 bytes");
  test.later(1);
  assert.equal(test.limiter.take(1), true);
});

Deno.test("RateLimiter: over a long time the rate is exact", () => {
  using test = limiterAt({ bandwidth: { size: 4096, refill_time: 100 } });
  let bytes = 0;
  for (let i = 0; i < 10_000; i++) {
    while (test.limiter.take(1500)) bytes += 1500;
    test.later(1);
  }
  const expected = 4096 + 10_000 * 40.96;
  assert.ok(Math.abs(bytes - expected) <= 1500, `${bytes}, not ${expected}`);
});

Deno.test("RateLimiter: sizes known afterwards are charged, and waited for", () => {
  using test = limiterAt({ bandwidth: { size: 1000, refill_time: 1000 } });
  assert.equal(test.limiter.mayStart(), true);
  test.limiter.charge(1500);
  assert.equal(test.limiter.mayStart(), false);
  test.later(500);
  assert.equal(test.limiter.mayStart(), false);
  test.later(1);
  assert.equal(test.limiter.mayStart(), true);
});

Deno.test("RateLimiter: what limits nothing is no limiter", () => {
  assert.equal(RateLimiter.from(undefined), undefined);
  assert.equal(RateLimiter.from({}), undefined);
  const none = { ops: { size: 0, refill_time: 100 } };
  assert.equal(RateLimiter.from(none), undefined);
  const endless = { bandwidth: { size: 100, refill_time: 0 } };
  assert.equal(RateLimiter.from(endless), undefined);
});

Deno.test("RateLimiter: the loop calls when the time has come, not before", () => {
  const loop = new EventLoop();
  const start = performance.now();
  let clock = () => 0; // nothing comes back between the first two
  const limits = { ops: { size: 1, refill_time: 40 } };
  const limiter = new RateLimiter(limits, () => clock());
  let resumed = 0;
  limiter.attach(loop, () => resumed++);
  assert.equal(limiter.take(0), true);
  assert.equal(limiter.take(0), false);
  assert.equal(limiter.take(0), false, "blocked");
  clock = () => performance.now() - start;
  while (resumed === 0) loop.turn(60_000);
  assert.ok(performance.now() - start >= 40, "too early");
  assert.equal(limiter.take(0), true);
  assert.equal(loop.turn(60), 0, "one call for one refusal");
  limiter.close();
  loop.close();
});

Deno.test("RateLimiter: other limits while it works; a bucket that isn't named stays", () => {
  using test = limiterAt({
    bandwidth: { size: 1000, refill_time: 1000 },
    ops: { size: 2, refill_time: 1000 },
  });
  assert.equal(test.drain(1), 2);
  test.limiter.change({ ops: { size: 8, refill_time: 1000 } });
  test.later(1);
  assert.equal(test.drain(1), 8, "a new bucket is full");
  test.limiter.change({ ops: { size: 0, refill_time: 0 } });
  test.later(1);
  assert.equal(test.drain(500), 1, "the other one has what it had");
});

Deno.test("RateLimiter: a command that changes limits, and one that is none", () => {
  assert.equal(RateLimiter.from({}), undefined);
  using stack = new DisposableStack();
  const limiter = RateLimiter.from({ adjustable: true } as RateLimits)!;
  stack.defer(() => limiter.close());
  assert.equal(limiter.take(1e9), true, "no limits yet");
  const ops = { size: 1, refill_time: 3_600_000 };
  const command = { type: "limits", rate_limiter: { ops } };
  assert.equal(changeLimits(command, { rate_limiter: limiter }), true);
  assert.deepEqual([limiter.take(1), limiter.take(1)], [true, false]);
  assert.equal(changeLimits("resize", { rate_limiter: limiter }), false);
  assert.throws(() => changeLimits(command, { rate_limiter: undefined }), {
    name: "VireoError",
    message: "rate_limiter: is not there, or not to be changed",
  });
});
