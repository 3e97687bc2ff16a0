/** Timers as descriptors. */
import assert from "node:assert/strict";
import { Epoll } from "./epoll.ts";
import { eventsOf } from "./testing/events.ts";
import { TimerFd } from "./timerfd.ts";

Deno.test("TimerFd: expires once, not before its time", () => {
  const epoll = new Epoll();
  using timer = new TimerFd();
  epoll.add(timer.fd, 7);
  assert.equal(epoll.wait(0), 0, "not armed");
  timer.arm(3_600_000);
  assert.equal(timer.drain(), false);
  const start = performance.now();
  timer.arm(30.5);
  assert.equal(eventsOf(epoll), 1);
  assert.equal(epoll.token(0), 7);
  assert.ok(performance.now() - start >= 30, "too early");
  assert.equal(timer.drain(), true);
  assert.equal(epoll.wait(0), 0, "once only");
  epoll.close();
});

Deno.test("TimerFd: no delay expires at once; an interval goes on", () => {
  const epoll = new Epoll();
  using timer = new TimerFd();
  epoll.add(timer.fd, 0);
  timer.arm(0, 1);
  for (let i = 0; i < 3; i++) {
    assert.equal(eventsOf(epoll), 1);
    timer.drain();
  }
  timer.disarm();
  timer.drain();
  assert.equal(epoll.wait(20), 0, "disarmed");
  epoll.close();
});

Deno.test("TimerFd: seconds and nanoseconds are told apart", () => {
  const epoll = new Epoll();
  using timer = new TimerFd();
  epoll.add(timer.fd, 0);
  timer.arm(3_600_000.25);
  assert.equal(epoll.wait(20), 0);
  timer.arm(1);
  assert.equal(eventsOf(epoll), 1, "armed anew");
  epoll.close();
});
