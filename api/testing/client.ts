/**
 * For tests: a client of the API's socket that sends what it is told to, byte
 * for byte.
 *
 * @module
 */
import assert from "node:assert/strict";

/** An answer. */
export interface Answered {
  status: number;
  /** The head, with its line ends. */
  head: string;
  body: string;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** One connection. */
export class Client implements Disposable {
  readonly #conn: Deno.UnixConn;
  #rest = new Uint8Array();
  #closed = false;

  private constructor(conn: Deno.UnixConn) {
    this.#conn = conn;
  }

  /** Connects. */
  static async connect(path: string): Promise<Client> {
    return new Client(await Deno.connect({ transport: "unix", path }));
  }

  /** Sends bytes as they are. */
  async send(text: string): Promise<void> {
    const bytes = encoder.encode(text);
    for (let done = 0; done < bytes.length;) {
      done += await this.#conn.write(bytes.subarray(done));
    }
  }

  /** Sends a request, and reads its answer. */
  async ask(method: string, path: string, body?: unknown): Promise<Answered> {
    await this.send(request(method, path, body));
    return await this.answer();
  }

  /** Sends a request, whose answer is 204: it was done. */
  async done(method: string, path: string, body: unknown): Promise<void> {
    const { status, body: text } = await this.ask(method, path, body);
    assert.equal(status, 204, `${method} ${path}: ${text}`);
  }

  /** One read, as it comes; empty: the other end has closed. */
  async read(size = 65_536): Promise<Uint8Array> {
    const bytes = new Uint8Array(size);
    const count = await this.#conn.read(bytes).catch(() => null);
    return bytes.subarray(0, count ?? 0);
  }

  /** The next answer. */
  async answer(): Promise<Answered> {
    for (;;) {
      const answer = this.#cut();
      if (answer !== undefined) return answer;
      const bytes = await this.read();
      if (bytes.length === 0) throw new Error("it was closed");
      const both = new Uint8Array(this.#rest.length + bytes.length);
      both.set(this.#rest);
      both.set(bytes, this.#rest.length);
      this.#rest = both;
    }
  }

  #cut(): Answered | undefined {
    const text = decoder.decode(this.#rest);
    const end = text.indexOf("\r\n\r\n") + 4;
    if (end < 4) return undefined;
    const head = text.slice(0, end);
    const length = Number(/^Content-Length: (\d+)/m.exec(head)?.[1] ?? 0);
    if (this.#rest.length < end + length) return undefined;
    const body = decoder.decode(this.#rest.subarray(end, end + length));
    this.#rest = this.#rest.slice(end + length);
    return { status: Number(head.slice(9, 12)), head, body };
  }

  /** Closes it, once. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#conn.close();
  }
}

/** The bytes of a request; a body that is no text goes as JSON. */
export function request(method: string, path: string, body?: unknown): string {
  const text = body === undefined || typeof body === "string"
    ? body ?? ""
    : JSON.stringify(body);
  const length = encoder.encode(text).length;
  const header = body === undefined ? "" : `Content-Length: ${length}\r\n`;
  return `${method} ${path} HTTP/1.1\r\n${header}\r\n${text}`;
}
