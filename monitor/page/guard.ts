/**
 * Who may see a machine's page, and steer the machine: whoever has its token,
 * from the page itself.
 *
 * @module
 */
import { timingSafeEqual } from "node:crypto";

/** 128 bits. */
const SECRET_SIZE = 16;

/** A host by its number, which no name of the web can be made to lead to. */
const NUMBERS = /^(\d+\.\d+\.\d+\.\d+|\[[0-9a-f:.]+\])$/i;

/** What listens at an address, and who may talk to it. */
export class Guard {
  /** What the page's URL has in its fragment. */
  readonly token: string = secret();
  /** What the browser has in the token's place: scripts can't read it. */
  readonly #session = secret();
  readonly #hostname: string;
  readonly #port: number;

  /** The guard of what listens at this host, as bound, and port. */
  constructor(hostname: string, port: number) {
    this.#hostname = hostname.includes(":") ? `[${hostname}]` : hostname;
    this.#port = port;
  }

  /** The URL that makes its reader a visitor. */
  get url(): string {
    return `http://${this.#hostname}:${this.#port}/#${this.token}`;
  }

  /** Why the request is nobody's that came by the page; undefined: it is. */
  objection(request: Request): string | undefined {
    const { headers, method } = request;
    const host = headers.get("host") ?? "";
    if (!this.#isOwn(host)) return "this page has another name";
    const origin = headers.get("origin");
    const reads = method === "GET" || method === "HEAD";
    if (origin === `http://${host}` || reads && origin === null) return;
    return "this is another page's request";
  }

  /** True for a request with the cookie that the token was exchanged for. */
  knows(request: Request): boolean {
    const cookies = request.headers.get("cookie")?.split(";") ?? [];
    const start = `${this.#cookie}=`;
    return cookies.map((cookie) => cookie.trim()).some((cookie) =>
      cookie.startsWith(start) &&
      isSecret(cookie.slice(start.length), this.#session)
    );
  }

  /** The cookie for a token, as the header sets it; undefined: a wrong one. */
  exchange(token: string): string | undefined {
    if (!isSecret(token, this.token)) return undefined;
    return `${this.#cookie}=${this.#session}; HttpOnly; SameSite=Strict; Path=/`;
  }

  /** A browser has the same cookies for all ports of a host. */
  get #cookie(): string {
    return `vireo-${this.#port}`;
  }

  #isOwn(host: string): boolean {
    const port = `:${this.#port}`;
    // Browsers leave out the port of HTTP itself.
    const name = this.#port === 80 && !host.endsWith(port)
      ? host
      : host.endsWith(port)
      ? host.slice(0, -port.length)
      : "";
    const everywhere = ["0.0.0.0", "[::]"].includes(this.#hostname);
    return name === this.#hostname || everywhere && NUMBERS.test(name);
  }
}

function secret(): string {
  return crypto.getRandomValues(new Uint8Array(SECRET_SIZE)).toHex();
}

/** Takes as long for every wrong one of the right length. */
function isSecret(text: string, right: string): boolean {
  const encoder = new TextEncoder();
  const [bytes, others] = [encoder.encode(text), encoder.encode(right)];
  return bytes.length === others.length && timingSafeEqual(bytes, others);
}
