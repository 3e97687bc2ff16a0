/** The channel between a console port and the main isolate. */
import assert from "node:assert/strict";
import { EventFd } from "../../../ffi/eventfd.ts";
import { EventLoop } from "../../runtime/event_loop.ts";
import { createConsoleChannel, GuestEnd, HostEnd } from "./channel.ts";

function setUp() {
  const event = new EventFd();
  const channel = { shared: createConsoleChannel(), eventFd: event.fd };
  const calls = { outputReady: 0, inputRoom: 0, changed: 0 };
  const loop = new EventLoop();
  const guest = new GuestEnd(channel, {
    outputReady: () => void calls.outputReady++,
    inputRoom: () => void calls.inputRoom++,
  });
  guest.attach(loop, () => void calls.changed++);
  const host = new HostEnd(channel);
  return {
    ...{ host, guest, calls, loop },
    [Symbol.dispose]() {
      guest.close();
      loop.close();
      event.close();
    },
  };
}

const numbered = (length: number, first = 0) =>
  Uint8Array.from({ length }, (_, i) => ((first + i) * 7 + ((first + i) >> 8)));

Deno.test("ConsoleChannel: output arrives, with one signal per batch", () => {
  using test = setUp();
  const { host, guest, calls } = test;
  const bytes = numbered(100);
  assert.equal(guest.write(bytes, 10, 40), 30);
  assert.equal(guest.write(bytes, 40, 50), 10);
  assert.equal(calls.outputReady, 1);
  assert.deepEqual(host.drainOutput(), bytes.slice(10, 50));
  assert.equal(guest.write(bytes, 0, 1), 1);
  assert.equal(calls.outputReady, 2);
  assert.equal(test.loop.turn(0), 0, "nothing is left to tell the device");
});

Deno.test("ConsoleChannel: output that doesn't fit waits, and goes on in order", () => {
  using test = setUp();
  const { host, guest, calls } = test;
  const all = numbered(200_000);
  const received: number[] = [];
  let sent = 0;
  while (received.length < all.length) {
    while (sent < all.length) {
      const count = guest.write(all, sent, Math.min(sent + 3000, all.length));
      if (count === 0) break;
      sent += count;
    }
    received.push(...host.drainOutput());
    test.loop.turn(0);
  }
  assert.deepEqual(Uint8Array.from(received), all);
  assert.equal(calls.changed, 3, "each time that output had waited");
});

Deno.test("ConsoleChannel: input that doesn't fit is called for", () => {
  using test = setUp();
  const { host, guest, calls, loop } = test;
  const all = numbered(100_000);
  const taken = host.pushInput(all);
  assert.equal(taken, 65536);
  assert.equal(loop.turn(0), 1);
  assert.equal(calls.changed, 1);
  const room = new Uint8Array(100_000);
  assert.equal(guest.read(room, 0, 32_767), 32_767);
  assert.equal(calls.inputRoom, 0, "not worth it yet");
  assert.equal(guest.read(room, 32_767, 32_768), 1);
  assert.equal(calls.inputRoom, 1);
  assert.equal(host.pushInput(all.subarray(taken)), 32_768);
  assert.equal(guest.read(room, 32_768, 100_000), 65_536);
  assert.equal(calls.inputRoom, 2);
  assert.equal(host.pushInput(all.subarray(taken + 32_768)), 1696);
  assert.equal(guest.read(room, 98_304, 100_000), 1696);
  assert.deepEqual(room, all);
  assert.equal(guest.read(room, 0, 10), 0);
});
