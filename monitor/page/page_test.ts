/** The live page: who gets in, what readers cost, and what buttons do. */
import assert from "node:assert/strict";
import { until } from "../../ffi/testing/until.ts";
import { Feed, MAX_READERS } from "./feed.ts";
import { Guard } from "./guard.ts";
import { SCROLLBACK, Scrollback } from "./scrollback.ts";
import { Noting, pageOf } from "./testing/noting.ts";
import { eventsOf, Visitor } from "./testing/visitor.ts";

Deno.test("live page: the token is exchanged for a cookie that scripts can't read", async () => {
  const { page } = pageOf(new Noting());
  await using _page = page;
  assert.match(page.url, /^http:\/\/127\.0\.0\.1:\d+\/#[0-9a-f]{32}$/);
  const visitor = new Visitor(page.url);
  for (const token of ["", "0".repeat(32), visitor.token.slice(1)]) {
    assert.equal((await visitor.post("/session", token)).status, 403, token);
  }
  assert.equal((await visitor.post("/session", "x".repeat(5000))).status, 413);
  assert.equal((await visitor.get("/events")).status, 401);
  const { status, headers } = await visitor.post("/session", visitor.token);
  assert.equal(status, 204);
  const cookie = headers.get("set-cookie")!;
  assert.match(cookie, /; HttpOnly; SameSite=Strict; Path=\/$/);
  // It isn't the token: who sees the cookie can't make another.
  assert.ok(!cookie.includes(visitor.token));
  const { port } = new URL(page.url);
  visitor.cookie = `vireo-${port}=${"0".repeat(32)}`;
  assert.equal((await visitor.get("/events")).status, 401);
  visitor.cookie = `other=1; ${cookie.split(";")[0]}`;
  const events = await visitor.get("/events");
  assert.equal(events.status, 200);
  await events.body!.cancel();
});

Deno.test("live page: another name, another page's request, and what changes nothing", async () => {
  const machine = new Noting();
  const { page } = pageOf(machine);
  await using _page = page;
  const visitor = new Visitor(page.url);
  await visitor.enter();
  const { host, port } = new URL(page.url);
  const cookie = `Cookie: ${visitor.cookie}`;
  const origin = `Origin: http://${host}`;
  const asked = (line: string, ...headers: string[]) =>
    visitor.raw([`${line} HTTP/1.1`, ...headers, "Content-Length: 0"]);
  const refused = async (line: string, ...headers: string[]) =>
    assert.match(await asked(line, ...headers), /^HTTP\/1\.1 403 /);

  await refused("GET /", `Host: evil.example:${port}`);
  await refused("GET /", "Host: 127.0.0.1");
  await refused("GET /", `Host: localhost:${port}`);
  await refused("GET /events", `Host: evil.example:${port}`, cookie);
  await refused("GET /events", `Host: ${host}`, cookie, "Origin: null");
  const post = "POST /pause";
  await refused(post, `Host: ${host}`, cookie);
  await refused(post, `Host: ${host}`, cookie, "Origin: null");
  await refused(post, `Host: ${host}`, cookie, "Origin: http://127.0.0.1:1");
  await refused(post, `Host: ${host}`, cookie, `Origin: https://${host}`);
  await refused(
    post,
    `Host: evil.example:${port}`,
    cookie,
    `Origin: http://evil.example:${port}`,
  );
  assert.match(await asked(post, `Host: ${host}`, origin), /^HTTP\/1\.1 401 /);
  for (const path of ["/pause", "/session", "/input"]) {
    assert.equal((await visitor.get(path)).status, 404);
  }
  for (const method of ["PUT", "DELETE", "PATCH", "OPTIONS"]) {
    assert.equal((await visitor.ask("/pause", { method })).status, 405);
  }
  for (const path of ["/page.ts", "/../guard.ts", "/%2e%2e/guard.ts", "//x"]) {
    assert.match(
      await asked(`GET ${path}`, `Host: ${host}`),
      /^HTTP\/1\.1 404 /,
    );
  }
  assert.equal(machine.state, "running");

  const { headers } = await visitor.get("/");
  const policy = headers.get("content-security-policy")!;
  assert.match(policy, /^default-src 'self'; frame-ancestors 'none'/);
});

Deno.test("live page: bound to all addresses, it is called by a number", () => {
  const guard = new Guard("0.0.0.0", 8080);
  const objection = (host: string) =>
    guard.objection(new Request("http://x/", { headers: { host } }));
  assert.equal(objection("192.0.2.1:8080"), undefined);
  assert.equal(objection("[2001:db8::1]:8080"), undefined);
  assert.match(objection("rebound.example:8080")!, /another name/);
  assert.match(objection("192.0.2.1:8081")!, /another name/);
  const [six, http] = [new Guard("::1", 8080), new Guard("127.0.0.1", 80)];
  assert.match(six.url, /^http:\/\/\[::1\]:8080\/#/);
  const request = new Request("http://x/", { headers: { host: "127.0.0.1" } });
  assert.equal(http.objection(request), undefined);
});

Deno.test("live page: buttons, keys, the machine's numbers, and its end", async () => {
  const machine = new Noting();
  const typed: string[] = [];
  let room = Promise.withResolvers<void>();
  room.resolve();
  const { page, shown } = pageOf(machine, (bytes) => {
    typed.push(new TextDecoder().decode(bytes));
    return room.promise;
  });
  const visitor = new Visitor(page.url);
  await visitor.enter();
  shown.heard(new TextEncoder().encode("boot\n"));
  const response = await visitor.get("/events");
  const seen = eventsOf(response);
  const numbers = /^data: (\{.*)\n/m; // a line comes in pieces
  await seen.until(numbers);
  assert.deepEqual(
    JSON.parse(numbers.exec(seen.text)![1]!),
    { state: "running", metrics: await machine.metrics() },
  );
  assert.match(seen.text, /^event: console\ndata: Ym9vdAo=$/m);

  assert.equal((await visitor.post("/input", "ls\r")).status, 204);
  assert.equal((await visitor.post("/pause")).status, 204);
  assert.equal(machine.state, "paused");
  await seen.until(/"state":"paused"/);
  assert.equal((await visitor.post("/resume")).status, 204);
  assert.equal(machine.state, "running");
  const button = await visitor.post("/power-button");
  assert.deepEqual([button.status, button.text], [
    409,
    "power button: only a guest with ACPI has one\n",
  ]);
  assert.equal((await visitor.post("/explode")).status, 404);
  // A guest that reads nothing: what is typed doesn't pile up.
  room = Promise.withResolvers();
  assert.equal((await visitor.post("/input", "a")).status, 204);
  assert.equal((await visitor.post("/input", "b")).status, 503);
  room.resolve();
  await until(
    async () => (await visitor.post("/input", "c")).status === 204,
    "room",
  );
  assert.deepEqual(typed, ["ls\r", "a", "c"]);

  // One that never reads, and one that says nothing, hold nothing up.
  const { hostname, port } = new URL(page.url);
  using mute = await Deno.connect({ hostname, port: Number(port) });
  await mute.write(new TextEncoder().encode("GET / HTTP/1.1\r\n"));
  const lazy = await visitor.get("/events");
  await page[Symbol.asyncDispose]();
  await page[Symbol.asyncDispose]();
  await seen.until(/^event: end$/m);
  await lazy.body!.cancel().catch(() => {});
  await assert.rejects(fetch(page.url));
});

Deno.test("live page: a log of events, of the types that are asked for, as long as it is read", async () => {
  const machine = new Noting();
  const { page } = pageOf(machine);
  await using _page = page;
  const visitor = new Visitor(page.url);
  assert.equal((await visitor.get("/log?types=step")).status, 401);
  await visitor.enter();
  const wrong = await visitor.get("/log?types=own");
  assert.equal(wrong.status, 400);
  const logs = await Promise.all(
    Array.from({ length: 4 }, () => visitor.get("/log?types=step,request")),
  );
  assert.equal((await visitor.get("/log?types=step")).status, 503);
  const reader = logs[0]!.body!.getReader();
  let text = "";
  while (!text.includes("\n\n")) {
    text += new TextDecoder().decode((await reader.read()).value);
  }
  const { events, left_out } = JSON.parse(text.slice("data: ".length));
  assert.deepEqual([events.length, left_out], [200, 100]);
  await reader.cancel();
  await Promise.all(logs.slice(1).map(({ body }) => body!.cancel()));
  const closed = () =>
    machine.told.filter((line) => line === "the log is closed").length;
  await until(() => closed() >= 1, "close", () => machine.told);
  await until(async () => {
    const { body, status } = await visitor.get("/log?types=step");
    await body?.cancel();
    return status === 200;
  }, "room for another log");
});

Deno.test("live page: a reader that never reads holds nothing, and there is a limit of them", async () => {
  let asked = 0;
  using feed = new Feed(() => Promise.resolve(++asked));
  const lazy = Array.from({ length: MAX_READERS - 1 }, () => feed.open());
  const stream = feed.open();
  assert.equal(feed.readers, MAX_READERS);
  const reader = stream.getReader();
  const chunk = new Uint8Array(100_000).fill(0x78);
  let text = "";
  for (let i = 0; i < 3; i++) {
    feed.console.push(chunk);
    text += new TextDecoder().decode((await reader.read()).value);
  }
  // Nothing was made for those that didn't read.
  assert.ok(asked <= 3, `${asked}`);
  const [first] = text.match(/^event: console\ndata: .*$/m)!;
  assert.equal(first.length, 21 + Math.ceil(SCROLLBACK / 3) * 4);
  // One that reads at last has the end of the console, not all of it.
  const late = lazy[0]!.getReader();
  const { value } = await late.read();
  assert.ok(value!.length < 2 * SCROLLBACK, `${value!.length}`);
  await Promise.all([late, reader].map((one) => one.cancel()));
  await Promise.all(lazy.slice(1).map((one) => one.cancel()));
  assert.equal(feed.readers, 0);
});

Deno.test("Scrollback: the end of a stream, from any place", () => {
  const scrollback = new Scrollback();
  const all = Uint8Array.from({ length: 200_000 }, (_, i) => i % 251);
  for (let at = 0, size = 1; at < all.length; at += size, size = size * 3 + 1) {
    size = Math.min(size, all.length - at);
    scrollback.push(all.subarray(at, at + size));
    const { end } = scrollback;
    assert.equal(end, at + size);
    for (const place of [0, end - 70_000, end - 1000, end - 1, end]) {
      const begin = Math.max(place, end - SCROLLBACK, 0);
      assert.deepEqual(scrollback.since(place), all.slice(begin, end));
    }
  }
});
