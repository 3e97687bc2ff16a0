/** Connections: how many, in which order, and what a hostile one can't do. */
import assert from "node:assert/strict";
import { Client, request } from "../testing/client.ts";
import { until } from "../../ffi/testing/until.ts";
import type { Answer } from "./answer.ts";
import { ApiServer, CONNECTIONS_MAX } from "./connection.ts";
import { BODY_MAX, type HttpRequest } from "./parser.ts";

const LARGE = 100_000;

/** A server that says 204 to all but what is asked for by GET. */
class TestServer implements Disposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  readonly path = `${this.folder}/api.socket`;
  readonly asked: string[] = [];
  readonly #server: ApiServer;
  readonly #clients: Client[] = [];

  constructor() {
    const listener = Deno.listen({ transport: "unix", path: this.path });
    this.#server = new ApiServer(listener, BODY_MAX, (request) => {
      this.asked.push(request.uri);
      return Promise.resolve(answerTo(request));
    });
    void this.#server.run();
  }

  async client(): Promise<Client> {
    const client = await Client.connect(this.path);
    this.#clients.push(client);
    return client;
  }

  [Symbol.dispose](): void {
    for (const client of this.#clients) client[Symbol.dispose]();
    this.#server.close();
    Deno.removeSync(this.folder, { recursive: true });
  }
}

function answerTo({ method, uri }: HttpRequest): Answer {
  if (method !== "GET") return { status: 204 };
  const body = uri === "/large" ? "x".repeat(LARGE) : JSON.stringify(uri);
  return { status: 200, body };
}

Deno.test("API socket: heads byte for byte; 204 is 66 bytes, and each answer one piece", async () => {
  using server = new TestServer();
  const client = await server.client();
  const head = "HTTP/1.1 204 \r\nServer: Firecracker API\r\n" +
    "Connection: keep-alive\r\n\r\n";
  for (const version of ["1.1", "1.0"]) {
    await client.send(`PUT /a HTTP/${version}\r\nConnection: close\r\n\r\n`);
    assert.equal(new TextDecoder().decode(await client.read()), head);
    assert.equal(head.length, 66);
  }
  const { head: other, body } = await client.ask("GET", "/a");
  assert.equal(
    other,
    "HTTP/1.1 200 \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n" +
      "Content-Type: application/json\r\nContent-Length: 4\r\n\r\n",
  );
  assert.equal(body, '"/a"');
  await client.send("HEAD / HTTP/1.1\r\n\r\n");
  const mistake = await client.answer();
  assert.deepEqual([mistake.status, mistake.body], [
    400,
    '{ "error": "Invalid HTTP Method: Unsupported HTTP method.\n' +
    'All previous unanswered requests will be dropped." }',
  ]);
  assert.equal((await client.ask("GET", "/b")).body, '"/b"');
});

Deno.test("API socket: pipelined requests are answered in order", async () => {
  using server = new TestServer();
  const client = await server.client();
  const paths = Array.from({ length: 200 }, (_, i) => `/${i}`);
  await client.send(paths.map((path) => request("GET", path)).join(""));
  for (const path of paths) {
    assert.equal((await client.answer()).body, JSON.stringify(path));
  }
});

Deno.test("API socket: a body is asked for when its client waits for that", async () => {
  using server = new TestServer();
  const client = await server.client();
  await client.send(
    "PUT /a HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
  );
  assert.equal((await client.answer()).status, 100);
  await client.send("{}");
  assert.equal((await client.answer()).status, 204);
});

Deno.test("API socket: one connection too many is told so, and closed; then there is room again", async () => {
  using server = new TestServer();
  const clients: Client[] = [];
  for (let i = 0; i < CONNECTIONS_MAX; i++) {
    const client = await server.client();
    assert.equal((await client.ask("GET", "/")).status, 200);
    clients.push(client);
  }
  const refused = await server.client();
  const { head, body } = await refused.answer();
  assert.equal(
    head + body,
    "HTTP/1.1 503 \r\nServer: Firecracker API\r\nConnection: close\r\n" +
      'Content-Length: 40\r\n\r\n{ "error": "Too many open connections" }',
  );
  assert.equal((await refused.read()).length, 0);
  await clients[0]!.send("GET / HTT");
  assert.equal((await clients[1]!.ask("GET", "/")).status, 200);
});

Deno.test("API socket: who closes ten connections can open ten others at once", async () => {
  using server = new TestServer();
  for (let round = 0; round < 5; round++) {
    const clients: Client[] = [];
    for (let i = 0; i < CONNECTIONS_MAX; i++) {
      clients.push(await server.client());
    }
    for (const client of clients) {
      assert.equal((await client.ask("GET", "/")).status, 200);
    }
    for (const client of clients) client[Symbol.dispose]();
  }
});

Deno.test("API socket: a client that never reads is read no more, and others are answered", async () => {
  using server = new TestServer();
  const hostile = await server.client();
  const wish = request("GET", "/large").repeat(100);
  // Its requests stay in the socket, and at last with itself.
  const sent = hostile.send(wish.repeat(100)).catch(() => {});
  await until(() => server.asked.length > 0, "a request");
  const other = await server.client();
  for (let i = 0; i < 20; i++) {
    assert.equal((await other.ask("GET", "/")).status, 200);
  }
  const large = server.asked.filter((uri) => uri === "/large").length;
  assert.ok(large < 20, `${large} answers of ${LARGE} bytes were made`);
  hostile[Symbol.dispose]();
  await sent;
});

Deno.test("API socket: slow heads, garbage and huge bodies leave room for others", async () => {
  using server = new TestServer();
  const slow = await Promise.all(
    Array.from({ length: CONNECTIONS_MAX - 2 }, () => server.client()),
  );
  for (const client of slow) await client.send("PUT / HTTP/1.1\r\nX: ");
  const garbage = await server.client();
  const other = await server.client();
  for (const text of ["\0".repeat(5000), "\r\n\r\n", "}{".repeat(4000)]) {
    await garbage.send(text);
    const { status, body } = await garbage.answer();
    assert.deepEqual([status, body.slice(0, 11)], [400, '{ "error": ']);
    assert.equal((await other.ask("GET", "/")).status, 200);
  }
});
