/**
 * What the metadata service says to a guest's requests: versions 1 and 2, with
 * session tokens.
 *
 * @module
 */
import { REQUEST_MAX, type Serve } from "./connection.ts";
import { lookUp } from "./store.ts";
import { Tokens, TTL_MAX, TTL_MIN } from "./tokens.ts";

/** How the service is to be. */
export interface MmdsSettings {
  /** `V2` wants a session token with each request. */
  version: "V1" | "V2";
  /** Its address: `169.254.169.254`. */
  address: string;
  /** Text is answered whatever is asked for, as by EC2's. */
  imdsCompat: boolean;
}

const TOKEN_PATH = "latest/api/token";
const TTL_HEADERS = [
  "x-metadata-token-ttl-seconds",
  "x-aws-ec2-metadata-token-ttl-seconds",
];
const TTL_NAMES = [
  "X-metadata-token-ttl-seconds",
  "X-aws-ec2-metadata-token-ttl-seconds",
];
const TOKEN_HEADERS = ["x-metadata-token", "x-aws-ec2-metadata-token"];
const FORWARDED = "X-Forwarded-For";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

interface Request {
  method: string;
  uri: string;
  headers: Map<string, string>;
}

interface Response {
  status: number;
  text: string;
  type?: "application/json";
  headers?: string;
}

/** The service's data, and its answers. */
export class MmdsHttp {
  /** What it tells; any JSON. */
  store: unknown = {};
  readonly #settings: Pick<MmdsSettings, "version" | "imdsCompat">;
  readonly #tokens: Tokens;

  /** A service without data. */
  constructor(
    settings: Pick<MmdsSettings, "version" | "imdsCompat">,
    tokens = new Tokens(),
  ) {
    this.#settings = settings;
    this.#tokens = tokens;
  }

  /** Answers the first whole request of what was received. */
  readonly serve: Serve = (received) => {
    const text = decoder.decode(received);
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) {
      if (received.length < REQUEST_MAX) return { used: 0, answer: undefined };
      return { used: received.length, answer: bytesOf(TOO_LONG) };
    }
    // Of a decoded text, the head may have another length; ASCII has not.
    const head = encoder.encode(text.slice(0, end + 4)).length;
    const request = requestIn(text.slice(0, end));
    if (request === undefined) {
      return { used: received.length, answer: bytesOf(INVALID) };
    }
    const body = Number(request.headers.get("content-length") ?? 0);
    if (!Number.isInteger(body) || body < 0 || head + body > REQUEST_MAX) {
      return { used: received.length, answer: bytesOf(TOO_LONG) };
    }
    if (received.length < head + body) return { used: 0, answer: undefined };
    return { used: head + body, answer: bytesOf(this.#answer(request)) };
  };

  #answer(request: Request): Response {
    const { method } = request;
    if (method === "GET") return this.#get(request);
    if (method === "PUT") return this.#put(request);
    if (method === "PATCH" || method === "DELETE") {
      const text = "Not allowed HTTP method.";
      return { status: 405, text, headers: "Allow: GET, PUT\r\n" };
    }
    return { status: 501, text: "Unsupported HTTP method." };
  }

  #get({ uri, headers }: Request): Response {
    const { version, imdsCompat } = this.#settings;
    if (version === "V2") {
      const token = valueOf(headers, TOKEN_HEADERS);
      if (token === undefined) {
        const text = "No MMDS token provided. Use `X-metadata-token` or " +
          "`X-aws-ec2-metadata-token` header to specify the session token.";
        return { status: 401, text };
      }
      if (!this.#tokens.isValid(token)) {
        return { status: 401, text: "MMDS token not valid." };
      }
    }
    const json = !imdsCompat && headers.get("accept") === "application/json";
    const found = lookUp(this.store, uri, json);
    const { status, text } = found;
    return { status, text, ...(json && { type: "application/json" }) };
  }

  #put({ uri, headers }: Request): Response {
    if (uri.split("/").filter((part) => part).join("/") !== TOKEN_PATH) {
      return { status: 404, text: `Resource not found: ${uri}.` };
    }
    if (headers.has(FORWARDED.toLowerCase())) {
      const text = "Invalid header. Reason: Unsupported header name. Key: " +
        FORWARDED;
      return { status: 400, text };
    }
    const index = TTL_HEADERS.findIndex((name) => headers.has(name));
    if (index < 0) {
      const text = "Token time to live value not found. Use `" +
        `${TTL_NAMES.join("` or `")}\` header to specify the token's lifetime.`;
      return { status: 400, text };
    }
    const value = headers.get(TTL_HEADERS[index]!)!;
    const seconds = Number(value);
    if (!/^\d+$/.test(value) || seconds < TTL_MIN || seconds > TTL_MAX) {
      const text = `Invalid time to live value provided for token: ${value}. ` +
        `Please provide a value between ${TTL_MIN} and ${TTL_MAX}.`;
      return { status: 400, text };
    }
    return {
      status: 200,
      text: this.#tokens.make(seconds),
      headers: `${TTL_NAMES[index]}: ${seconds}\r\n`,
    };
  }
}

const INVALID: Response = { status: 400, text: "Invalid request." };
const TOO_LONG: Response = {
  status: 400,
  text: `Invalid request: more than ${REQUEST_MAX} bytes.`,
};

function requestIn(head: string): Request | undefined {
  const [line = "", ...rest] = head.split("\r\n");
  const [, method, target] = /^(\S+) (\S+) HTTP\/1\.[01]$/.exec(line) ?? [];
  if (method === undefined) return undefined;
  const headers = new Map<string, string>();
  for (const header of rest) {
    const [, name, value] = /^([^:]+):(.*)$/.exec(header) ?? [];
    if (name === undefined) return undefined;
    headers.set(name.trim().toLowerCase(), value!.trim());
  }
  const uri = target!.replace(/^http:\/\/[^/]*/, "");
  return { method, uri: clean(uri), headers };
}

/** Without slashes that mean nothing. */
function clean(uri: string): string {
  const path = uri.replaceAll(/\/+/g, "/").replace(/\/$/, "");
  return path === "" ? "/" : path;
}

function valueOf(
  headers: Map<string, string>,
  names: readonly string[],
): string | undefined {
  const name = names.find((name) => headers.has(name));
  return name === undefined ? undefined : headers.get(name);
}

function bytesOf({ status, text, type, headers = "" }: Response): Uint8Array {
  const body = encoder.encode(text);
  const head = `HTTP/1.1 ${status} \r\nServer: Firecracker API\r\n` +
    `Connection: keep-alive\r\n${headers}Content-Type: ` +
    `${type ?? "text/plain"}\r\nContent-Length: ${body.length}\r\n\r\n`;
  const bytes = new Uint8Array(head.length + body.length);
  bytes.set(encoder.encode(head));
  bytes.set(body, head.length);
  return bytes;
}
