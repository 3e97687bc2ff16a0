/**
 * HTTP/1.x requests out of bytes, as Firecracker's server takes them: bytes go
 * in, requests and mistakes come out. It does no I/O, and takes any bytes.
 *
 * It keeps one line of a head and one body: never more than its limits.
 *
 * @module
 */

/** The longest line of a head in bytes, with its CR LF. */
export const LINE_MAX = 1024;
/** The longest body in bytes, unless another limit is given. */
export const BODY_MAX = 51_200;

/** What can be asked with. */
export type Method = "GET" | "PUT" | "PATCH" | "DELETE";

const METHODS: readonly string[] = ["GET", "PUT", "PATCH", "DELETE"];
const VERSIONS: readonly string[] = ["HTTP/1.0", "HTTP/1.1"];

/** A whole request. */
export interface HttpRequest {
  /** Its method. */
  readonly method: Method;
  /** What it asks for, as it stands in the request line. */
  readonly uri: string;
  /** Its body; undefined: it has none. */
  readonly body: Uint8Array | undefined;
}

/** What comes out of bytes. */
export type HttpEvent =
  | { readonly type: "request"; readonly request: HttpRequest }
  /** A body is to come, and its sender waits to be asked for it. */
  | { readonly type: "continue" }
  /** All that came with it is dropped; what comes next begins a request. */
  | { readonly type: "mistake"; readonly text: string };

/** What is wrong with the bytes. */
class Mistake extends Error {}

const CR = 13;
const LF = 10;
const FIRST_BODY_ROOM = 4096;
/** As Rust reads an unsigned number of 32 bits. */
const LENGTH = /^\+?\d+$/;
const LENGTH_MAX = 2 ** 32 - 1;

/** The requests of one connection. */
export class HttpParser {
  readonly #bodyMax: number;
  readonly #line = new Uint8Array(LINE_MAX);
  #lineLength = 0;
  #method: Method | undefined; // of the head that has begun
  #uri = "";
  #expects = false;
  #wanted = 0; // bytes of the body
  #body: Uint8Array | undefined; // the head is there, the body isn't
  #bodyLength = 0;

  /** @param bodyMax the longest body in bytes */
  constructor(bodyMax: number = BODY_MAX) {
    this.#bodyMax = bodyMax;
  }

  /** Bytes that are kept at the moment, for tests. */
  get held(): number {
    return this.#line.length + (this.#body?.length ?? 0);
  }

  /**
   * Takes the bytes that have come, and tells what they complete. A mistake is
   * told alone: the requests that came with it are dropped.
   */
  push(bytes: Uint8Array): HttpEvent[] {
    const events: HttpEvent[] = [];
    try {
      for (let at = 0; at < bytes.length;) {
        at += this.#body === undefined
          ? this.#head(bytes.subarray(at), events)
          : this.#more(bytes.subarray(at), events);
      }
      return events;
    } catch (error) {
      if (!(error instanceof Mistake)) throw error;
      this.#lineLength = 0;
      this.#begin();
      return [{ type: "mistake", text: error.message }];
    }
  }

  /** Takes bytes up to the end of a line; returns how many. */
  #head(bytes: Uint8Array, events: HttpEvent[]): number {
    let end = bytes.indexOf(LF) + 1;
    // Only CR LF ends a line.
    while (end > 0 && !this.#endsBefore(bytes, end)) {
      end = bytes.indexOf(LF, end) + 1;
    }
    const taken = end > 0 ? end : bytes.length;
    if (this.#lineLength + taken > LINE_MAX) throw new Mistake(INVALID);
    this.#line.set(bytes.subarray(0, taken), this.#lineLength);
    this.#lineLength += taken;
    if (end === 0) return taken;
    const line = this.#line.subarray(0, this.#lineLength - 2);
    this.#lineLength = 0;
    if (this.#method === undefined) this.#requestLine(text(line));
    else if (line.length > 0) this.#header(text(line));
    else this.#headEnds(events);
    return taken;
  }

  #endsBefore(bytes: Uint8Array, end: number): boolean {
    if (end >= 2) return bytes[end - 2] === CR;
    return this.#lineLength > 0 && this.#line[this.#lineLength - 1] === CR;
  }

  #requestLine(line: string): void {
    const [method = "", rest] = cut(line, " ");
    if (rest === undefined) throw new Mistake(INVALID);
    if (!METHODS.includes(method)) {
      throw new Mistake("Invalid HTTP Method: Unsupported HTTP method.");
    }
    const [uri = "", version] = cut(rest, " ");
    if (version === undefined) throw new Mistake(INVALID);
    if (uri === "") throw new Mistake("Invalid URI: Empty URI not allowed.");
    if (!VERSIONS.includes(version)) {
      throw new Mistake("Invalid HTTP Version: Unsupported HTTP version.");
    }
    this.#method = method as Method;
    this.#uri = uri;
  }

  #header(line: string): void {
    const [name = "", rest] = cut(line, ":");
    if (rest === undefined) {
      const reason = `Header is incorrectly formatted. Key: ${line}`;
      throw new Mistake(`Invalid header. Reason: ${reason}`);
    }
    const value = rest.trim();
    switch (name.trim().toLowerCase()) {
      case "content-length":
        this.#wanted = this.#contentLength(value);
        break;
      case "expect":
        this.#expects ||= value === "100-continue";
        break;
      case "accept-encoding": // an answer is never encoded
        if (/(^|,)\s*(identity|\*);q=0\s*(,|$)/.test(value)) {
          throw invalidValue("Accept-Encoding", value);
        }
    }
  }

  #contentLength(value: string): number {
    const length = Number(value);
    if (!LENGTH.test(value) || length > LENGTH_MAX) {
      throw invalidValue("Content-Length", value);
    }
    if (length <= this.#bodyMax) return length;
    throw new Mistake(
      `Request payload with size ${length} is larger than the limit of ` +
        `${this.#bodyMax} allowed by server.`,
    );
  }

  #headEnds(events: HttpEvent[]): void {
    if (this.#wanted === 0) return this.#complete(undefined, events);
    if (this.#expects) events.push({ type: "continue" });
    // A length that is promised is not yet memory.
    this.#body = new Uint8Array(Math.min(this.#wanted, FIRST_BODY_ROOM));
  }

  /** Takes bytes of the body; returns how many. */
  #more(bytes: Uint8Array, events: HttpEvent[]): number {
    const taken = Math.min(bytes.length, this.#wanted - this.#bodyLength);
    const length = this.#bodyLength + taken;
    let body = this.#body!;
    if (length > body.length) {
      const room = Math.min(this.#wanted, Math.max(length, 2 * body.length));
      const larger = new Uint8Array(room);
      larger.set(body.subarray(0, this.#bodyLength));
      this.#body = body = larger;
    }
    body.set(bytes.subarray(0, taken), this.#bodyLength);
    this.#bodyLength = length;
    if (length === this.#wanted) this.#complete(body, events);
    return taken;
  }

  #complete(body: Uint8Array | undefined, events: HttpEvent[]): void {
    const request = { method: this.#method!, uri: this.#uri, body };
    events.push({ type: "request", request });
    this.#begin();
  }

  #begin(): void {
    this.#method = undefined;
    this.#uri = "";
    this.#expects = false;
    this.#wanted = 0;
    this.#body = undefined;
    this.#bodyLength = 0;
  }
}

const INVALID = "Invalid request.";

function invalidValue(name: string, value: string): Mistake {
  const reason = `Invalid value. Key:${name}; Value: ${value}`;
  return new Mistake(`Invalid header. Reason: ${reason}`);
}

const decoder = new TextDecoder("utf-8", { fatal: true });

function text(line: Uint8Array): string {
  try {
    return decoder.decode(line);
  } catch {
    throw new Mistake(INVALID);
  }
}

/** What is before the first `mark`, and behind it; undefined: there is none. */
function cut(line: string, mark: string): [string, string | undefined] {
  const at = line.indexOf(mark);
  return at < 0 ? [line, undefined] : [line.slice(0, at), line.slice(at + 1)];
}
