/** The metadata service: frames, connections, answers, tokens. */
import assert from "node:assert/strict";
import { needing, NETWORKS } from "../../../../ffi/testing/needs.ts";
import { TestNamespace } from "../../../../ffi/testing/tap.ts";
import { libc } from "../../../../ffi/libc.ts";
import { Poll, pollFd } from "../../../../ffi/poll.ts";
import { closeFd } from "../../../../ffi/file.ts";
import { openTap } from "../../../../ffi/tap.ts";
import { Flag, MMDS_MAC, replyTo, segmentOf } from "./frames.ts";
import { MmdsHttp, type MmdsSettings } from "./http.ts";
import { Mmds } from "./mmds.ts";
import { lookUp } from "./store.ts";
import { Tokens } from "./tokens.ts";

const ADDRESS = "169.254.169.254";
const V1: MmdsSettings = {
  version: "V1",
  address: ADDRESS,
  imdsCompat: false,
};
const STORE = {
  latest: { "meta-data": { "ami-id": "a", list: [1, { b: null }], n: 7 } },
  text: "raw",
  "a/b~c": true,
};

Deno.test("MMDS: what a path leads to, as text and as JSON", () => {
  const rows: [string, boolean, number, string][] = [
    ["/", false, 200, "a/b~c\nlatest/\ntext"],
    ["/latest/", false, 200, "meta-data/"],
    ["//latest//meta-data", false, 200, "ami-id\nlist\nn"],
    ["/text", false, 200, "raw"],
    ["/text", true, 200, '"raw"'],
    ["/latest/meta-data/n", true, 200, "7"],
    ["/latest/meta-data/list/1", true, 200, '{"b":null}'],
    ["/a~1b~0c", true, 200, "true"],
    ["/latest/meta-data/list/01", true, 404, ""],
    ["/constructor", true, 404, "Resource not found: /constructor."],
    ["/text/length", true, 404, "Resource not found: /text/length."],
    ["/nope", false, 404, "Resource not found: /nope."],
  ];
  for (const uri of ["n", "list", "list/1/b"]) {
    const text = "Cannot retrieve value. The value has an unsupported type.";
    rows.push([`/latest/meta-data/${uri}`, false, 501, text]);
  }
  for (const [uri, json, status, text] of rows) {
    const found = lookUp(STORE, uri, json);
    assert.equal(found.status, status, uri);
    if (text !== "") assert.equal(found.text, text, uri);
  }
});

/** Answers of a service, without TCP. */
function ask(http: MmdsHttp, head: string): { status: number; text: string } {
  const bytes = new TextEncoder().encode(`${head}\r\n\r\n`);
  const { used, answer } = http.serve(bytes);
  assert.equal(used, bytes.length);
  const text = new TextDecoder().decode(answer);
  return { status: Number(text.slice(9, 12)), text };
}

Deno.test("MMDS: version 2 wants a token, which is ours, and of its time", () => {
  const time = { now: 1e12 };
  const http = new MmdsHttp(
    { version: "V2", imdsCompat: false },
    new Tokens(() => time.now),
  );
  http.store = STORE;
  assert.equal(ask(http, "GET /text HTTP/1.1").status, 401);
  const put = "PUT /latest/api/token HTTP/1.1";
  for (const ttl of ["", "0", "21601", "x", "-1"]) {
    const header = `X-metadata-token-ttl-seconds: ${ttl}`;
    assert.equal(ask(http, `${put}\r\n${header}`).status, 400, ttl);
  }
  assert.equal(ask(http, put).status, 400);
  assert.equal(ask(http, "PUT /other HTTP/1.1").status, 404);
  const good = `${put}\r\nx-AWS-ec2-metadata-token-TTL-seconds: 60`;
  const forwarded = ask(http, `${good}\r\nX-Forwarded-For: a`);
  assert.equal(forwarded.status, 400);
  assert.match(
    forwarded.text,
    /\r\n\r\nInvalid header\. Reason: Unsupported header name\. Key: X-Forwarded-For$/,
  );
  const { status, text } = ask(http, good);
  assert.equal(status, 200);
  assert.match(text, /^X-aws-ec2-metadata-token-ttl-seconds: 60\r$/m);
  const token = text.slice(text.indexOf("\r\n\r\n") + 4);
  const get = (token: string) =>
    ask(http, `GET /text HTTP/1.1\r\nX-metadata-token: ${token}`).status;
  assert.equal(get(token), 200);
  for (const other of ["", "AAAA", `${token}A`, new Tokens().make(60)]) {
    assert.equal(get(other), 401, other);
  }
  time.now += 60_001;
  assert.equal(get(token), 401, "its time is over");
});

Deno.test("MMDS: methods, formats, and requests that are none", () => {
  const http = new MmdsHttp(V1);
  http.store = STORE;
  const status = (head: string) => ask(http, head).status;
  assert.equal(status("GET /text HTTP/1.1"), 200);
  assert.equal(status("GET http://169.254.169.254/text HTTP/1.0"), 200);
  const patch = ask(http, "PATCH / HTTP/1.1");
  assert.equal(patch.status, 405);
  assert.match(patch.text, /\r\nAllow: GET, PUT\r\n/);
  assert.equal(status("DELETE / HTTP/1.1"), 405);
  assert.equal(status("POST / HTTP/1.1"), 501);
  assert.equal(status("GET / HTTP/2"), 400);
  assert.equal(status("nonsense"), 400);
  const json = "GET /latest HTTP/1.1\r\nAccept: application/json";
  assert.match(ask(http, json).text, /Content-Type: application\/json\r\n/);
  const imds = new MmdsHttp({ version: "V1", imdsCompat: true });
  imds.store = STORE;
  assert.match(ask(imds, json).text, /\r\n\r\nmeta-data\/$/);
  const long = new Uint8Array(2500).fill(65);
  assert.equal(http.serve(long.subarray(1)).answer, undefined);
  assert.equal(http.serve(long).used, 2500);
});

Deno.test("MMDS: a guest that sends anything gets no more than answers", () => {
  const mmds = new Mmds(V1, 1500);
  const good = replyTo(
    { mac: MMDS_MAC, address: mmds.address, port: 80, toPort: 4000 },
    0x0a00_0001,
    { seq: 1, ack: 0, flags: Flag.SYN, window: 1000 },
  );
  assert.equal(mmds.take(good).length, 1);
  for (let i = 0; i < good.length; i++) {
    mmds.take(good.subarray(0, i));
    for (const value of [0, 1, 0x7f, 0xff]) {
      const frame = good.slice();
      frame[i] = value;
      mmds.take(frame);
    }
  }
  // More connections than there is room for: the idlest go.
  for (let port = 5000; port < 5100; port++) {
    const [reply] = mmds.take(replyTo(
      { mac: MMDS_MAC, address: mmds.address, port: 80, toPort: port },
      0x0a00_0001,
      { seq: 1, ack: 0, flags: Flag.SYN, window: 1000 },
    ));
    assert.equal(segmentOf(reply!)!.flags, Flag.SYN | Flag.ACK);
  }
  const [other] = mmds.take(replyTo(
    { mac: MMDS_MAC, address: mmds.address, port: 81, toPort: 4001 },
    0x0a00_0001,
    { seq: 1, ack: 0, flags: Flag.SYN, window: 1000 },
  ));
  assert.equal(segmentOf(other!)!.flags, Flag.RST | Flag.ACK);
});

/** Fetches in a network namespace: what Linux's own TCP makes of the service. */
async function fetchIn(netns: string, requests: object[]): Promise<unknown[]> {
  const program = `
    const out = [];
    for (const { path, ...init } of ${JSON.stringify(requests)}) {
      const answer = await fetch("http://${ADDRESS}" + path, init);
      const text = await answer.text();
      out.push([answer.status, text.length > 99 ? text.length : text]);
    }
    console.log(JSON.stringify(out));`;
  const { stdout, stderr, success } = await new Deno.Command("ip", {
    args: ["netns", "exec", netns, Deno.execPath(), "eval", program],
    env: { NO_COLOR: "1" },
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

Deno.test(needing([NETWORKS], {
  name:
    "MMDS: Linux's TCP finds it by ARP, and reads small and large answers over one connection after the other",
  async fn() {
    using namespace = new TestNamespace();
    namespace.ip("tuntap", "add", "tap0", "mode", "tap");
    namespace.ip("address", "add", "10.118.0.1/24", "dev", "tap0");
    namespace.ip("link", "set", "tap0", "up");
    namespace.ip("route", "add", ADDRESS, "dev", "tap0");
    const headerSize = 12;
    const tap = openTap({ name: "tap0", netns: namespace.name, headerSize });
    const mmds = new Mmds(V1, tap.mtu);
    const large = "x".repeat(300_000);
    mmds.store = { small: "one", large };
    let done = false;
    const serving = (async () => {
      const room = new Uint8Array(70_000);
      while (!done) {
        await pollFd(tap.fd, Poll.IN);
        const count = libc.read_u32(tap.fd, room, room.length);
        if (count < headerSize) continue;
        const frame = room.slice(headerSize, count);
        const { buffer } = frame;
        const target = new DataView(buffer).getUint16(12) === 0x86dd;
        if (target) continue; // IPv6 is not for it
        for (const reply of mmds.take(frame)) {
          const bytes = new Uint8Array(headerSize + reply.length);
          bytes.set(reply, headerSize);
          libc.write_u32(tap.fd, bytes, bytes.length);
        }
      }
    })();
    try {
      const requests = [
        ...Array.from({ length: 5 }, () => ({ path: "/small" })),
        { path: "/large" },
        { path: "/none" },
        { path: "/small", headers: { connection: "close" } },
        { path: "/large", headers: { accept: "application/json" } },
      ];
      assert.deepEqual(await fetchIn(namespace.name, requests), [
        ...Array.from({ length: 5 }, () => [200, "one"]),
        [200, large.length],
        [404, "Resource not found: /none."],
        [200, "one"],
        [200, large.length + 2],
      ]);
    } finally {
      done = true;
      namespace.ip("link", "set", "tap0", "down"); // wakes who waits for it
      namespace.ip("link", "delete", "tap0");
      await serving;
      closeFd(tap.fd);
    }
  },
}));
