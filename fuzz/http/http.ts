/**
 * Bytes for the API's HTTP parser: requests, good and spoiled, in pieces of any
 * length. Whatever they are, it doesn't throw, keeps no more than its limits,
 * and tells the same however they are cut; and after a mistake a good request
 * is one again.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type HttpEvent, HttpParser, LINE_MAX } from "../../api/http/parser.ts";
import { Random } from "../../guest/testing/random.ts";
import type { More } from "../campaign.ts";

const BODY_MAX = 64;
const GOOD = "GET /good HTTP/1.1\r\n\r\n";
const encoder = new TextEncoder();

/** What a request is made of, a part from each, and mostly the first few. */
const HEAD: readonly (readonly string[])[] = [
  ["GET", "PUT", "PATCH", "DELETE", "HEAD", "", "P\u00fct"],
  [" ", " ", " ", " ", "", "\t", "\r\n"],
  ["/", "/drives/a", "*", "http://a/b", "", "\0", "x".repeat(LINE_MAX)],
  [" ", " ", " ", " ", "", ":"],
  ["HTTP/1.1", "HTTP/1.0", "HTTP/1.1", "HTTP/1.0", "HTTP/9", ""],
];
const HEADERS: readonly string[] = [
  ...["Content-Length: 2", "Content-Length: 2", "content-length:64", "X: y"],
  ...["Expect: 100-continue", "Content-Length: 65", "Content-Length: -0"],
  ...["Content-Length: 1e1", "Accept-Encoding: *;q=0", "x".repeat(LINE_MAX)],
];

/** What came of the inputs. */
export interface HttpCounts {
  requests: number;
  mistakes: number;
}

/** Tries inputs from `first` on, until `more` says no. */
export function fuzzHttp(first: number, more: More): HttpCounts {
  const counts: HttpCounts = { requests: 0, mistakes: 0 };
  for (let seed = first; more(seed - first); seed++) {
    try {
      tried(new Random(seed), counts);
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
  return counts;
}

function tried(random: Random, counts: HttpCounts): void {
  const parser = new HttpParser(BODY_MAX);
  const bytes = input(random);
  for (let at = 0; at < bytes.length;) {
    const end = at + 1 + random.below(random.oneIn(3) ? 4 : 2000);
    for (const event of parser.push(bytes.subarray(at, end))) {
      check(event, counts);
    }
    assert.ok(parser.held <= LINE_MAX + BODY_MAX, `${parser.held} are held`);
    at = end;
  }
  // Whatever is open: soon a line or a body is at its end, and then comes this.
  const rest = encoder.encode(
    "\r\n".repeat(BODY_MAX) + "x".repeat(LINE_MAX + 1),
  );
  parser.push(rest);
  const [event] = parser.push(encoder.encode(GOOD));
  assert.equal(event?.type, "request", JSON.stringify(event));
}

function check(event: HttpEvent, counts: HttpCounts): void {
  if (event.type === "mistake") {
    assert.match(event.text, /^[A-Z][^]{5,1200}$/);
    counts.mistakes++;
  } else if (event.type === "request") {
    const { method, uri, body } = event.request;
    assert.match(method, /^(GET|PUT|PATCH|DELETE)$/);
    assert.ok(uri.length > 0 && uri.length < LINE_MAX && !uri.includes(" "));
    assert.ok((body?.length ?? 1) > 0 && (body?.length ?? 0) <= BODY_MAX);
    counts.requests++;
  }
}

function input(random: Random): Uint8Array {
  const count = 1 + random.below(3);
  const text = Array.from({ length: count }, () => request(random)).join("");
  const bytes = encoder.encode(text);
  if (random.oneIn(3)) bytes[random.below(bytes.length)] = random.below(256);
  return bytes;
}

function request(random: Random): string {
  const line = HEAD.map((parts) =>
    random.oneIn(20) ? random.of([...parts]) : parts[random.below(4)]!
  );
  const headers = Array.from(
    { length: random.below(3) },
    () => random.oneIn(8) ? random.of([...HEADERS]) : HEADERS[random.below(5)]!,
  );
  const head = [line.join(""), ...headers].join("\r\n");
  return `${head}\r\n\r\n${random.oneIn(2) ? "{}" : ""}`;
}
