/** The control socket, and clients of every kind. */
import assert from "node:assert/strict";
import { needing, root } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { descriptorsOfProcess } from "../../ffi/testing/mmap.ts";
import { command } from "../testing/mod.ts";
import { answerTo, LINE_MAX } from "./requests.ts";
import { ControlServer } from "./server.ts";
import { MockMachine } from "./testing/mock_machine.ts";

const encoder = new TextEncoder(), decoder = new TextDecoder();
const DESCRIBE = '{"method":"describe"}\n';

/** A server in a folder of its own. */
class Served implements AsyncDisposable {
  readonly machine = new MockMachine();
  readonly folder = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  readonly path = `${this.folder}/1.sock`;
  /** Lines that have come. */
  heard = 0;
  readonly server = new ControlServer(this.path, (line) => {
    this.heard++;
    return answerTo(this.machine.controller, line);
  });
  readonly #clients: Client[] = [];

  async connect(): Promise<Client> {
    const { path } = this;
    const client = new Client(await Deno.connect({ transport: "unix", path }));
    this.#clients.push(client);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server[Symbol.dispose]();
    for (const client of this.#clients) await client.ended();
    Deno.removeSync(this.folder, { recursive: true });
  }
}

class Client {
  readonly connection: Deno.UnixConn;
  #open = true;

  constructor(connection: Deno.UnixConn) {
    this.connection = connection;
  }

  async say(bytes: string | Uint8Array): Promise<void> {
    const all = typeof bytes === "string" ? encoder.encode(bytes) : bytes;
    for (let done = 0; done < all.length;) {
      done += await this.connection.write(all.subarray(done));
    }
  }

  /** Something that comes; undefined: the server has closed it. */
  async hear(): Promise<string | undefined> {
    const chunk = new Uint8Array(64 * 1024);
    const count = await this.connection.read(chunk).catch(() => null);
    return count === null ? undefined : decoder.decode(chunk.slice(0, count));
  }

  /** Waits until the server has closed it. */
  async ended(): Promise<void> {
    while (this.#open && await this.hear() !== undefined);
    if (this.#open) this.connection.close();
    this.#open = false;
  }
}

/** It still serves. */
async function serves(served: Served): Promise<void> {
  const client = await served.connect();
  await client.say(DESCRIBE);
  assert.match(await client.hear() ?? "nothing", /"name":"mock"/);
}

Deno.test("control socket: for its owner only, with a name until the end", async () => {
  const held = () =>
    [...descriptorsOfProcess().values()].filter((name) =>
      name.startsWith("socket")
    ).toSorted();
  const before = held();
  {
    await using served = new Served();
    const { mode, isSocket } = Deno.lstatSync(served.path);
    assert.ok(isSocket);
    assert.equal(mode! & 0o777, 0o600);
    await serves(served);
    served.server[Symbol.dispose]();
    assert.throws(() => Deno.lstatSync(served.path), Deno.errors.NotFound);
  }
  const none = () => held().every((socket) => before.includes(socket));
  await until(none, "end of its descriptors", held);
});

Deno.test("control socket: a request in pieces, many at once, and a half-closed end", async () => {
  await using served = new Served();
  const client = await served.connect();
  for (const byte of '{"id":1,"method":"pause"}\n') await client.say(byte);
  assert.equal(await client.hear(), '{"id":1,"result":null}\n');
  await client.say('{"id":2,"method":"resume"}\n{"id":3,"method":"pause"}\n');
  await client.connection.closeWrite();
  let answers = "";
  for (let text; (text = await client.hear()) !== undefined;) answers += text;
  assert.equal(answers, '{"id":2,"result":null}\n{"id":3,"result":null}\n');
});

Deno.test("control socket: garbage, endless lines, silence and deafness harm nobody", async () => {
  await using served = new Served();
  const garbage = await served.connect();
  const noise = new Uint8Array(3000).map((_, i) => i % 7 === 0 ? 10 : i);
  await garbage.say(noise);
  assert.match(await garbage.hear() ?? "", /^{"error":"not a line of JSON"}\n/);

  const endless = await served.connect();
  await endless.say("x".repeat(LINE_MAX));
  assert.match(await endless.hear() ?? "", /a line has at most \d+ bytes/);
  assert.equal(await endless.hear(), undefined);

  // One that never reads is not read from, either.
  const deaf = await served.connect();
  let said = 0, waits = false;
  const talking = (async () => {
    for (;;) {
      await deaf.say(DESCRIBE.repeat(1000)).catch(() => waits = true);
      if (waits) return;
      said++;
    }
  })();
  let before = -1;
  await until(async () => {
    const same = said === before;
    before = said;
    await new Promise((done) => setTimeout(done, 200));
    return same && said === before;
  }, "end of its patience");

  // Many that say nothing don't keep others off.
  for (let i = 0; i < 30; i++) await served.connect();
  await serves(served);
  served.server[Symbol.dispose]();
  await talking;
});

Deno.test("control socket: with too many requests under way, one more is told", async () => {
  await using served = new Served();
  const gate = Promise.withResolvers<void>();
  served.machine.ready = gate.promise;
  const busy = [];
  for (let i = 0; i < 8; i++) {
    const client = await served.connect();
    await client.say('{"method":"pause"}\n');
    busy.push(client);
  }
  await until(() => served.heard === 8, "all of them", () => served.heard);
  const more = await served.connect();
  assert.equal(await more.hear(), '{"error":"too many requests"}\n');
  gate.resolve();
  for (const client of busy) {
    assert.equal(await client.hear(), '{"result":null}\n');
  }
  await serves(served);
});

Deno.test("control socket: an end in the middle of a request", async () => {
  await using served = new Served();
  const gate = Promise.withResolvers<void>();
  served.machine.ready = gate.promise;
  const client = await served.connect();
  await client.say('{"method":"pause"}\n');
  await until(() => served.machine.asked.length > 0, "the pause");
  served.server[Symbol.dispose]();
  assert.equal(await client.hear(), undefined);
  gate.resolve();
});

Deno.test(needing([root("is another user"), "setpriv"], {
  name: "control socket: another user is told nothing, even if it gets there",
  async fn() {
    await using served = new Served();
    Deno.chmodSync(served.folder, 0o755);
    Deno.chmodSync(served.path, 0o666);
    const script = "use IO::Socket::UNIX;" +
      "my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die $!;" +
      "print <$s>;";
    const said = await command(
      ...["setpriv", "--reuid=65534", "--clear-groups"],
      ...["perl", "-e", script, served.path],
    );
    assert.equal(said, `{"error":"this machine is not user 65534's"}\n`);
    await serves(served);
  },
}));
