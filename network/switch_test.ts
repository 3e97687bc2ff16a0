/** A switch and its clients, over sockets. */
import assert from "node:assert/strict";
import { until } from "../ffi/testing/until.ts";
import { Switch } from "./switch.ts";
import { ALL, Client, frame } from "./testing/client.ts";

/** A folder for sockets; gone afterwards, if nothing but `kept` is in it. */
function folder(...kept: string[]): Disposable & { path: string } {
  const path = Deno.makeTempDirSync({ prefix: "vireo-switch-" });
  return {
    path,
    [Symbol.dispose]() {
      for (const name of kept) Deno.removeSync(`${path}/${name}`);
      Deno.removeSync(path);
    },
  };
}

/** A switch with a socket, and clients at it. */
async function connected(path: string, network: Switch, count: number) {
  const link = network.listen(`${path}/s`);
  const clients: Client[] = [];
  for (let i = 0; i < count; i++) clients.push(await Client.connect(link.path));
  await until(() => link.connected === count, "clients");
  return { link, clients };
}

Deno.test("Switch: what is for all goes to all others; what is for one that has spoken, to it", async () => {
  using dir = folder();
  await using network = new Switch();
  const { link, clients } = await connected(dir.path, network, 3);
  const [a, b, c] = clients as [Client, Client, Client];
  await a.send(frame(ALL, 1, 10));
  assert.deepEqual([await b.mark(), await c.mark()], [10, 10]);
  await b.send(frame(1, 2, 20)); // a has spoken
  assert.equal(await a.mark(), 20);
  await c.send(frame(9, 3, 30)); // nobody has seen 9
  assert.deepEqual([await a.mark(), await b.mark()], [30, 30]);
  await a.send(frame(2, 1, 11), frame(3, 1, 12), frame(1, 1, 13));
  await a.send(frame(ALL, 1, 14));
  assert.deepEqual([await b.mark(), await b.mark()], [11, 14]);
  assert.deepEqual([await c.mark(), await c.mark()], [12, 14]);
  assert.equal(network.addresses, 3);
  // A station that has moved is found where it speaks now.
  await c.send(frame(ALL, 2, 31));
  assert.deepEqual([await a.mark(), await b.mark()], [31, 31]);
  await a.send(frame(2, 1, 15));
  assert.equal(await c.mark(), 15);
  const counts = { received: 9, sent: 12, lost: 0, dropped: 0 };
  assert.deepEqual(link.counts, counts);
  for (const client of clients) client[Symbol.dispose]();
  await until(() => link.connected === 0, "end");
  assert.equal(network.addresses, 0);
  assert.deepEqual(link.counts, counts, "of those that have gone");
});

Deno.test("Switch: the longest frame, however cut; frames too short are none", async () => {
  using dir = folder();
  await using network = new Switch();
  const { link, clients: [a, b] } = await connected(dir.path, network, 2);
  const long = frame(ALL, 1, 7, 65535 + 18);
  const cut = a!.send(new Uint8Array(), new Uint8Array(13), long);
  const [got] = await Promise.all([b!.receive(), cut]);
  assert.deepEqual(got, long);
  const bytes = [0, 0, 0, 60, ...frame(ALL, 1, 8)];
  for (const byte of bytes) await a!.write(Uint8Array.of(byte));
  assert.equal(await b!.mark(), 8);
  assert.equal(link.counts.dropped, 2);
  for (const client of [a!, b!]) client[Symbol.dispose]();
});

Deno.test("Switch: who sends nonsense, or half a frame and goes, only loses the port", async () => {
  using dir = folder();
  const log: string[] = [];
  await using network = new Switch((line) => log.push(line));
  const { link, clients } = await connected(dir.path, network, 4);
  const [a, b, bad, half] = clients as [Client, Client, Client, Client];
  await bad.write(Uint8Array.of(255, 255, 255, 255, 1, 2, 3));
  assert.equal(await bad.receive(), undefined, "hung up");
  await half.write(Uint8Array.of(0, 0, 1, 0, 1, 2, 3));
  half[Symbol.dispose]();
  await until(() => link.connected === 2, "two left");
  await a.send(frame(ALL, 1, 5));
  assert.equal(await b.mark(), 5);
  const [path] = [link.path];
  assert.deepEqual(log, [
    `switch "${path}": a frame of 4294967295 bytes: the client is hung up on`,
  ]);
  for (const client of clients) client[Symbol.dispose]();
});

Deno.test("Switch: who never reads loses frames, and the others don't", async () => {
  using dir = folder();
  await using network = new Switch();
  const { link, clients } = await connected(dir.path, network, 3);
  const [a, b, deaf] = clients as [Client, Client, Client];
  const LENGTH = 60_000;
  const COUNT = 60; // 3.6 MB: more than a socket and the switch take
  for (let i = 0; i < COUNT; i++) {
    await a.send(frame(ALL, 1, i, LENGTH));
    assert.equal(await b.mark(), i);
  }
  assert.ok(link.counts.dropped > 0, JSON.stringify(link.counts));
  // Those that there was room for are whole, in order, and the first.
  const { dropped } = link.counts;
  for (let i = 0; i < COUNT - dropped; i++) assert.equal(await deaf.mark(), i);
  await a.send(frame(ALL, 1, 99));
  assert.equal(await deaf.mark(), 99, "it goes on");
  for (const client of clients) client[Symbol.dispose]();
});

Deno.test("Switch: one client's addresses are at most 256, and only push out its own", async () => {
  using dir = folder();
  await using network = new Switch();
  const { clients } = await connected(dir.path, network, 3);
  const [a, b, liar] = clients as [Client, Client, Client];
  await a.send(frame(ALL, 1, 1));
  await Promise.all([b.mark(), liar.mark()]);
  for (let i = 0; i < 1000; i++) {
    const lie = frame(1, 0, 2);
    lie.set([6, i >> 8, i], 6);
    await liar.send(lie);
    await a.mark();
  }
  assert.equal(network.addresses, 1 + 256);
  await b.send(frame(1, 2, 3), frame(ALL, 2, 4));
  assert.equal(await liar.mark(), 4, "a's address is still known");
  for (const client of clients) client[Symbol.dispose]();
});

Deno.test("Switch: a closed one hangs up, and leaves nothing behind", async () => {
  using dir = folder();
  const network = new Switch();
  const { link, clients: [a, b] } = await connected(dir.path, network, 2);
  const late = await Client.connect(link.path);
  await network[Symbol.asyncDispose]();
  await network[Symbol.asyncDispose]();
  for (const client of [a!, b!, late]) {
    assert.equal(await client.receive(), undefined);
    client[Symbol.dispose]();
  }
  assert.deepEqual([...Deno.readDirSync(dir.path)], []);
  assert.throws(() => network.listen(`${dir.path}/t`), /the switch is closed/);
});

Deno.test("Switch: what it can't have is told in a line, and nothing is left", async () => {
  using dir = folder();
  await using network = new Switch();
  const { path } = dir;
  network.listen(`${path}/s`);
  const refused: [string, Parameters<Switch["listen"]>[1], RegExp][] = [
    ["s", {}, /^switch ".*\/s": exists already; remove it if no switch uses/],
    ["x".repeat(120), {}, /: a socket's path has 1 to 107 bytes$/],
    ["none/s", {}, /^switch ".*\/none\/s": No such file or directory/],
    ["t", { loss: 2 }, /: loss 2 is not a number from 0 to 1$/],
    ["t", { latency: -1 }, /: latency -1 is not a number from 0 to 60000$/],
    ["t", { jitter: NaN }, /: jitter NaN is not a number/],
    ["t", { rate: 1 }, /: rate 1 is not a number from 1000 to/],
    ["t", { pcap: `${path}/no/c` }, /capture file ".*": ENOENT/],
  ];
  for (const [name, options, message] of refused) {
    assert.throws(
      () => network.listen(`${path}/${name}`, options),
      { message },
      name,
    );
  }
  assert.deepEqual([...Deno.readDirSync(path)].map(({ name }) => name), ["s"]);
});

Deno.test("Switch: beyond 128 ports it hangs up, tells once, and takes others later", async () => {
  using dir = folder();
  const log: string[] = [];
  await using network = new Switch((line) => log.push(line));
  const { link, clients } = await connected(dir.path, network, 128);
  for (let i = 0; i < 3; i++) {
    using more = await Client.connect(link.path);
    assert.equal(await more.receive(), undefined);
  }
  const { path } = link;
  const line = `switch "${path}": accept: there are 128 ports already`;
  assert.deepEqual(log, [line]);
  for (const client of clients) client[Symbol.dispose]();
  await until(() => link.connected === 0, "end");
  using a = await Client.connect(path);
  using b = await Client.connect(path);
  await until(() => link.connected === 2, "clients");
  await a.send(frame(ALL, 1, 1));
  assert.equal(await b.mark(), 1);
});
