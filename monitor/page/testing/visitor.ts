/**
 * For tests: a live page's visitor that is no browser.
 *
 * @module
 */
import assert from "node:assert/strict";
import { until } from "../../../ffi/testing/until.ts";

/** What came back from a button. */
interface Answer {
  status: number;
  headers: Headers;
  text: string;
}

/** A visitor, who has the page's URL. */
export class Visitor {
  /** From the URL's fragment. */
  readonly token: string;
  /** What it sends for a cookie. */
  cookie = "";
  readonly #url: string;

  /** A visitor of the page with this URL. */
  constructor(url: string) {
    this.#url = url;
    this.token = new URL(url).hash.slice(1);
  }

  /** Exchanges the token for the cookie. */
  async enter(): Promise<void> {
    const { status, headers } = await this.post("/session", this.token);
    assert.equal(status, 204);
    this.cookie = headers.get("set-cookie")!.split(";")[0]!;
  }

  /** A response; one that isn't of use is empty already. */
  async get(path: string): Promise<Response> {
    const headers = { cookie: this.cookie };
    const response = await fetch(new URL(path, this.#url), { headers });
    if (!/^\/(events|log)/.test(path) || !response.ok) {
      await response.body?.cancel();
    }
    return response;
  }

  /** What the page's own scripts send. */
  async post(path: string, body?: string): Promise<Answer> {
    return await this.ask(path, { method: "POST", body });
  }

  /** The same, with any method. */
  async ask(path: string, init: RequestInit): Promise<Answer> {
    const { origin } = new URL(this.#url);
    const headers = { cookie: this.cookie, origin };
    const response = await fetch(new URL(path, origin), { ...init, headers });
    const { status } = response;
    return { status, headers: response.headers, text: await response.text() };
  }

  /** What is answered to these lines, as far as it comes at once. */
  async raw(lines: readonly string[]): Promise<string> {
    const { hostname, port } = new URL(this.#url);
    using connection = await Deno.connect({ hostname, port: Number(port) });
    const bytes = new TextEncoder().encode([...lines, "", ""].join("\r\n"));
    await connection.write(bytes);
    const answer = new Uint8Array(4096);
    const count = await connection.read(answer);
    return new TextDecoder().decode(answer.subarray(0, count ?? 0));
  }
}

/** Events, as far as they have come. */
export interface Events {
  /** All of them. */
  readonly text: string;
  /** Waits for one. */
  until(pattern: RegExp): Promise<void>;
}

/** Reads the events of a response, to its end. */
export function eventsOf(response: Response): Events {
  let text = "";
  const stream = response.body!.pipeThrough(new TextDecoderStream());
  (async () => {
    for await (const part of stream) text += part;
  })().catch(() => {});
  return {
    get text() {
      return text;
    },
    until: (pattern) =>
      until(() => pattern.test(text), `${pattern}`, () => text),
  };
}
