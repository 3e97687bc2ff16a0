/** HTTP out of bytes: requests, mistakes and limits. */
import assert from "node:assert/strict";
import { BODY_MAX, type HttpEvent, HttpParser, LINE_MAX } from "./parser.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What comes out of `text`, in a word each. */
function told(text: string, parser = new HttpParser()): string[] {
  return parser.push(encoder.encode(text)).map(word);
}

function word(event: HttpEvent): string {
  if (event.type === "mistake") return `! ${event.text}`;
  if (event.type === "continue") return "100";
  const { method, uri, body } = event.request;
  return `${method} ${uri}${body ? ` ${decoder.decode(body)}` : ""}`;
}

const PUT = "PUT /a HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";

Deno.test("HTTP parser: requests with and without a body, pipelined, in order", () => {
  assert.deepEqual(told(`GET / HTTP/1.1\r\nHost: x\r\n\r\n${PUT}`), [
    "GET /",
    "PUT /a {}",
  ]);
  assert.deepEqual(told("DELETE /d HTTP/1.0\r\n\r\n"), ["DELETE /d"]);
  assert.deepEqual(told("GET http://localhost/x HTTP/1.1\r\n\r\n"), [
    "GET http://localhost/x",
  ]);
});

Deno.test("HTTP parser: however the bytes are cut, the same comes out", () => {
  const text = `${PUT}GET /b HTTP/1.1\r\nExpect: x\r\n\r\n${PUT}`;
  for (let size = 1; size < text.length; size++) {
    const parser = new HttpParser();
    const words: string[] = [];
    for (let at = 0; at < text.length; at += size) {
      words.push(...told(text.slice(at, at + size), parser));
    }
    assert.deepEqual(words, ["PUT /a {}", "GET /b", "PUT /a {}"], `${size}`);
  }
});

Deno.test("HTTP parser: each kind of mistake, word for word", () => {
  const rows: [string, string][] = [
    ...["HEAD", "POST", "OPTIONS", "get"].map((method): [string, string] => [
      `${method} / HTTP/1.1\r\n\r\n`,
      "Invalid HTTP Method: Unsupported HTTP method.",
    ]),
    [
      "GET / HTTP/2.0\r\n\r\n",
      "Invalid HTTP Version: Unsupported HTTP version.",
    ],
    ["GET  HTTP/1.1\r\n\r\n", "Invalid URI: Empty URI not allowed."],
    ["GET\r\n\r\n", "Invalid request."],
    ["\r\n", "Invalid request."],
    [
      "PUT / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
      "Invalid header. Reason: Invalid value. Key:Content-Length; Value: -1",
    ],
    [
      "PUT / HTTP/1.1\r\ncontent-length: 51201\r\n",
      "Request payload with size 51201 is larger than the limit of 51200 " +
      "allowed by server.",
    ],
    [
      "GET / HTTP/1.1\r\nAccept-Encoding: identity;q=0\r\n\r\n",
      "Invalid header. Reason: Invalid value. Key:Accept-Encoding; Value: " +
      "identity;q=0",
    ],
    [
      "GET / HTTP/1.1\r\nnonsense\r\n\r\n",
      "Invalid header. Reason: Header is incorrectly formatted. Key: nonsense",
    ],
    // A body in chunks is not decoded: its request has none, and it is none.
    [
      "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
      "Invalid request.",
    ],
  ];
  for (const [text, mistake] of rows) {
    const parser = new HttpParser();
    assert.deepEqual(told(text, parser), [`! ${mistake}`], text);
    assert.deepEqual(told(PUT, parser), ["PUT /a {}"], "and then it goes on");
  }
});

Deno.test("HTTP parser: a mistake drops the requests that came with it", () => {
  assert.deepEqual(told(`${PUT}HEAD / HTTP/1.1\r\n\r\n${PUT}`), [
    "! Invalid HTTP Method: Unsupported HTTP method.",
  ]);
});

Deno.test("HTTP parser: lines up to their limit, and not beyond", () => {
  const line = (length: number) => {
    const head = "GET / HTTP/1.1\r\n";
    return `${head}X: ${"x".repeat(length - 5)}\r\n\r\n`;
  };
  assert.deepEqual(told(line(LINE_MAX)), ["GET /"]);
  assert.deepEqual(told(line(LINE_MAX + 1)), ["! Invalid request."]);
  const path = "/".repeat(LINE_MAX - "GET  HTTP/1.1\r\n".length);
  assert.deepEqual(told(`GET ${path} HTTP/1.1\r\n\r\n`), [`GET ${path}`]);
  assert.deepEqual(told(`GET /${path} HTTP/1.1\r\n\r\n`), [
    "! Invalid request.",
  ]);
});

Deno.test("HTTP parser: what is taken without a word", () => {
  for (
    const header of [
      "Accept: image/png",
      "Content-Type: text/plain",
      "Expect: something",
      "Transfer-Encoding: gzip",
      "Accept-Encoding: gzip, identity",
      "CONNECTION: close",
    ]
  ) {
    assert.deepEqual(told(`GET / HTTP/1.1\r\n${header}\r\n\r\n`), ["GET /"]);
  }
  // The last of two lengths counts.
  const two = "PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n";
  assert.deepEqual(told(`${two}\r\nab`), ["PUT / ab"]);
});

Deno.test("HTTP parser: a body that is waited with is asked for", () => {
  const parser = new HttpParser();
  const head = "PUT / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue";
  assert.deepEqual(told(`${head}\r\n\r\n`, parser), ["100"]);
  assert.deepEqual(told("{}", parser), ["PUT / {}"]);
});

Deno.test("HTTP parser: it keeps no more than its limits, whatever is promised", () => {
  const parser = new HttpParser();
  told(`PUT / HTTP/1.1\r\nContent-Length: ${BODY_MAX}\r\n\r\n`, parser);
  assert.ok(parser.held < 2 * 4096 + LINE_MAX, `${parser.held} for a promise`);
  parser.push(new Uint8Array(BODY_MAX - 1));
  assert.ok(parser.held <= BODY_MAX + LINE_MAX, `${parser.held}`);
  const large = new HttpParser(2 ** 31);
  told(`PUT / HTTP/1.1\r\nContent-Length: ${2 ** 31}\r\n\r\nx`, large);
  assert.ok(large.held < 2 * 4096 + LINE_MAX, `${large.held} for a promise`);
});
