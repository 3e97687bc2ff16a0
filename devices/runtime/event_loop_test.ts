/** The device worker's event loop. */
import assert from "node:assert/strict";
import { Events } from "../../ffi/epoll.ts";
import { EventFd } from "../../ffi/eventfd.ts";
import { descriptorsOfProcess } from "../../ffi/testing/mmap.ts";
import { EventLoop } from "./event_loop.ts";
import { SocketPair } from "../backends/testing/net.ts";

Deno.test("EventLoop: calls who is ready, with its events", () => {
  using event = new EventFd();
  using pair = new SocketPair();
  const loop = new EventLoop();
  const calls: [string, number][] = [];
  const watcher = (name: string) => ({
    onReady: (events: number) => calls.push([name, events]),
  });
  loop.watch(event.fd, watcher("event"));
  loop.watch(pair.device, watcher("socket"), 0);
  assert.equal(loop.turn(0), 0);
  event.signal();
  assert.equal(loop.turn(-1), 1);
  event.drain();
  loop.modify(pair.device, Events.OUT);
  loop.turn(0);
  loop.modify(pair.device, 0);
  pair.hangUp();
  loop.turn(0);
  assert.deepEqual(calls, [
    ["event", Events.IN],
    ["socket", Events.OUT],
    ["socket", Events.HUP],
  ]);
  loop.close();
});

Deno.test("EventLoop: after unwatch nobody is called, and the place is used again", () => {
  using first = new EventFd();
  using second = new EventFd();
  const loop = new EventLoop();
  const calls: string[] = [];
  loop.watch(first.fd, { onReady: () => calls.push("first") });
  loop.unwatch(first.fd);
  loop.unwatch(first.fd); // does nothing
  loop.watch(second.fd, { onReady: () => calls.push("second") });
  first.signal();
  second.signal();
  assert.equal(loop.turn(0), 1);
  assert.deepEqual(calls, ["second"]);
  loop.close();
});

Deno.test("EventLoop: an event of a watcher that is gone reaches nobody else", () => {
  const events = [new EventFd(), new EventFd(), new EventFd()];
  const loop = new EventLoop();
  const [first, second, third] = events;
  const calls: string[] = [];
  // Whoever comes first replaces the other, whose event is still to come.
  const replace = (own: EventFd, other: EventFd) => ({
    onReady() {
      calls.push("one");
      own.drain();
      loop.unwatch(other.fd);
      loop.watch(third!.fd, { onReady: () => calls.push("third") });
    },
  });
  loop.watch(first!.fd, replace(first!, second!));
  loop.watch(second!.fd, replace(second!, first!));
  first!.signal();
  second!.signal();
  assert.equal(loop.turn(0), 2);
  assert.deepEqual(calls, ["one"]);
  loop.close();
  for (const event of events) event.close();
});

Deno.test("EventLoop: close leaves no descriptor", () => {
  const before = descriptorsOfProcess().size;
  for (let i = 0; i < 20; i++) new EventLoop().close();
  assert.equal(descriptorsOfProcess().size, before);
});
