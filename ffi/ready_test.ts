/** Waiting for many descriptors in one thread. */
import assert from "node:assert/strict";
import { closeFd } from "./file.ts";
import { libc } from "./libc.ts";
import { Poll } from "./poll.ts";
import { ready } from "./ready.ts";
import { Shut, shutdownSocket, socketPair } from "./unix_socket.ts";

Deno.test("ready: 100 descriptors at once, each when it is its turn; both ways, and at their ends", async () => {
  const pairs = Array.from({ length: 100 }, socketPair);
  const order: number[] = [];
  const all = pairs.map(async ([fd], i) => {
    await ready(fd, Poll.IN);
    order.push(i);
  });
  for (const [fd] of pairs) await ready(fd, Poll.OUT);
  assert.deepEqual(order, []);
  const byte = Uint8Array.of(1);
  for (const i of [70, 3, 99]) {
    libc.write_u32(pairs[i]![1], byte, 1);
    await all[i];
  }
  assert.deepEqual(order, [70, 3, 99]);
  // Who is told reads, or waits for nothing.
  await ready(pairs[3]![0], Poll.IN);
  const [full, other] = pairs[5]!;
  const much = new Uint8Array(4096);
  while (libc.write_u32(full, much, much.length) > 0);
  const room = ready(full, Poll.OUT);
  assert.equal(room, ready(full, Poll.OUT), "the same for two");
  for (let i = 0; i < 200; i++) libc.read_u32(other, much, much.length);
  await room;
  for (const [, fd] of pairs) shutdownSocket(fd, Shut.WRITE);
  await Promise.all(all);
  for (const fd of pairs.flat()) closeFd(fd);
});
