/** A console port's Unix socket. */
import assert from "node:assert/strict";
import { closeFd } from "../../../ffi/file.ts";
import { libc } from "../../../ffi/libc.ts";
import { connectUnix, UnixListener } from "../../../ffi/unix_socket.ts";
import { EventLoop } from "../../runtime/event_loop.ts";
import { SocketBackend } from "./socket.ts";

function setUp() {
  const dir = Deno.makeTempDirSync();
  const path = `${dir}/port`;
  const listener = new UnixListener(path, "port");
  const backend = new SocketBackend(listener.fd);
  const loop = new EventLoop();
  const test = { changes: 0 };
  backend.attach(loop, () => void test.changes++);
  return {
    ...{ backend, loop, test },
    connect(): number {
      const fd = connectUnix(path);
      assert.ok(fd >= 0);
      return fd;
    },
    /** Lets everything happen that is about to. */
    settle() {
      while (loop.turn(20) > 0);
    },
    /** What the backend has to read. */
    read(most = 100_000): string {
      const room = new Uint8Array(most);
      const count = backend.read(room, 0, most);
      return new TextDecoder().decode(room.subarray(0, count));
    },
    [Symbol.dispose]() {
      backend.close();
      loop.close();
      listener[Symbol.dispose]();
      Deno.removeSync(dir, { recursive: true });
    },
  };
}

const bytes = (text: string) => new TextEncoder().encode(text);
const write = (fd: number, text: string) =>
  libc.write_u32(fd, bytes(text), text.length);
function receive(fd: number): string {
  const room = new Uint8Array(100_000);
  const count = libc.read_u32(fd, room, room.length);
  return new TextDecoder().decode(room.subarray(0, Math.max(count, 0)));
}

Deno.test("console socket: bytes go both ways, and nobody hears what comes before a client", () => {
  using setup = setUp();
  const { backend } = setup;
  assert.equal(backend.connected, false);
  assert.equal(backend.write(bytes("lost"), 0, 4), 4);
  const client = setup.connect();
  setup.settle();
  assert.equal(backend.connected, true);
  assert.equal(backend.write(bytes("xhellox"), 1, 6), 5);
  assert.equal(receive(client), "hello");
  write(client, "there");
  setup.settle();
  assert.equal(setup.read(3), "the");
  assert.equal(setup.read(), "re");
  assert.equal(setup.read(), "");
  closeFd(client);
  setup.settle();
  assert.equal(backend.connected, false);
});

Deno.test("console socket: without room the rest is kept by the caller, and room is told", () => {
  using setup = setUp();
  const { backend, test } = setup;
  const client = setup.connect();
  setup.settle();
  const big = new Uint8Array(4 << 20).fill(65);
  const taken = backend.write(big, 0, big.length);
  assert.ok(taken > 0 && taken < big.length, `${taken}`);
  assert.equal(backend.write(big, taken, big.length), 0);
  const before = test.changes;
  let received = 0;
  while (received < taken) received += receive(client).length;
  setup.settle();
  assert.ok(test.changes > before, "there is room again");
  assert.ok(backend.write(big, taken, big.length) > 0);
  closeFd(client);
});

Deno.test("console socket: one client at a time; the next comes when the first has gone and was read", () => {
  using setup = setUp();
  const { backend } = setup;
  const first = setup.connect();
  setup.settle();
  write(first, "first");
  const second = setup.connect();
  write(second, "second");
  closeFd(first);
  setup.settle();
  assert.equal(setup.read(), "first");
  assert.equal(backend.connected, false, "its end is seen");
  setup.settle();
  assert.equal(backend.connected, true);
  assert.equal(setup.read(), "second");
  assert.equal(backend.write(bytes("hi"), 0, 2), 2);
  assert.equal(receive(second), "hi");
  closeFd(second);
});

Deno.test("console socket: what a client sent before it went is not lost by an answer", () => {
  using setup = setUp();
  const { backend } = setup;
  const client = setup.connect();
  setup.settle();
  write(client, "last words");
  closeFd(client);
  setup.settle();
  assert.equal(backend.write(bytes("answer"), 0, 6), 6);
  assert.equal(setup.read(), "last words");
  assert.equal(backend.connected, false);
});

Deno.test("console socket: a client that goes silently is noticed though nobody reads", () => {
  using setup = setUp();
  const first = setup.connect();
  setup.settle();
  const second = setup.connect();
  closeFd(first);
  setup.settle();
  assert.equal(setup.backend.connected, true);
  write(second, "x");
  assert.equal(setup.read(), "x");
  closeFd(second);
});
