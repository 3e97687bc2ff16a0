/** eventfd and epoll. */
import assert from "node:assert/strict";
import { Epoll, Events } from "./epoll.ts";
import { EventFd } from "./eventfd.ts";

Deno.test("EventFd: any number of signals is one drain", () => {
  using event = new EventFd();
  assert.equal(event.drain(), false);
  event.signal();
  event.signal();
  assert.equal(event.drain(), true);
  assert.equal(event.drain(), false);
});

Deno.test("Epoll: gives tokens back, level-triggered, until drained", () => {
  using first = new EventFd();
  using second = new EventFd();
  const epoll = new Epoll();
  epoll.add(first.fd, 7);
  epoll.add(second.fd, 0xffff_fff0);
  assert.equal(epoll.wait(0), 0);
  second.signal();
  for (let i = 0; i < 2; i++) {
    assert.equal(epoll.wait(-1), 1);
    assert.equal(epoll.token(0), 0xffff_fff0);
    assert.equal(epoll.events(0), Events.IN);
  }
  second.drain();
  first.signal();
  second.signal();
  assert.equal(epoll.wait(0), 2);
  assert.deepEqual([epoll.token(0), epoll.token(1)].sort((a, b) => a - b), [
    7,
    0xffff_fff0,
  ]);
  epoll.remove(first.fd);
  epoll.modify(second.fd, 1, 0);
  assert.equal(epoll.wait(0), 0);
  epoll.close();
});

Deno.test("Epoll: a descriptor twice, or a closed one, is an error", () => {
  using event = new EventFd();
  const epoll = new Epoll();
  epoll.add(event.fd, 1);
  assert.throws(() => epoll.add(event.fd, 2), /epoll_ctl .* EEXIST/);
  assert.throws(() => epoll.add(9999, 2), /descriptor 9999: EBADF/);
  epoll.close();
});

Deno.test("Epoll: waits no longer than told", () => {
  const epoll = new Epoll();
  assert.equal(epoll.wait(1), 0);
  epoll.close();
});
