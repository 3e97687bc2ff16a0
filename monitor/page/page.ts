/**
 * The live page of machines: what they do, their consoles, and their buttons,
 * in a browser. It is served by the machines' own process.
 *
 * @module
 */
import { comesInLooks } from "../../ffi/alarm.ts";
import { VireoError } from "../../ffi/error.ts";
import { checkName } from "../../vmm/controller/name.ts";
import type { LivePage } from "../../vmm/live_page.ts";
import type { TraceFilter } from "../../vmm/trace/events.ts";
import { MAX_READERS } from "./feed.ts";
import { Guard } from "./guard.ts";
import { chartLibrary } from "./library.ts";
import { MachineList } from "./list.ts";
import { Busy, Shown } from "./shown.ts";

/** What it is made of, by path, and of which type. */
const ASSETS: ReadonlyMap<string, readonly [string, string]> = new Map([
  ["/", ["page.html", "text/html"]],
  ["/page.js", ["page.js", "text/javascript"]],
  ["/charts.js", ["charts.js", "text/javascript"]],
  ["/events.js", ["events.js", "text/javascript"]],
  ["/list.js", ["list.js", "text/javascript"]],
  ["/screen.js", ["screen.js", "text/javascript"]],
  ["/tables.js", ["tables.js", "text/javascript"]],
  ["/page.css", ["page.css", "text/css"]],
  ["/icon.svg", ["icon.svg", "image/svg+xml"]],
]);

/** What is for visitors with the cookie. */
const SHOWN = ["/events", "/log", "/echarts.js"];
/** Logs of events at once: they are what costs. */
const MAX_LOGS = 4;

const HEADERS = {
  "cache-control": "no-store",
  // default-src says nothing of frames around it, of <base> and of forms.
  "content-security-policy":
    "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

/** Bytes that are typed at once. */
const MAX_INPUT = 4096;
/** Looks, and milliseconds from one to the next, for the last events. */
const LAST_LOOKS = 6, LAST_INTERVAL = 50;

/** A page that listens. */
export class Page implements LivePage {
  readonly #machines = new Map<string, Shown>();
  readonly #list = new MachineList(() => this.#machines.values());
  readonly #guard: Guard;
  readonly #folder: string | undefined;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #abort = new AbortController();
  #logs = 0;
  /** Answers that are under way. */
  readonly #sending = new Set<Promise<void>>();

  /**
   * Listens.
   *
   * @param what names it in messages
   * @param place a port of 0 is any that is free
   * @param gone told why, when it ends before the machines
   * @param folder where its button saves snapshots; default: the current one
   * @throws {VireoError} it can't
   */
  constructor(
    what: string,
    place: { hostname: string; port: number },
    gone: (why: string) => void,
    folder?: string,
  ) {
    this.#folder = folder;
    try {
      this.#server = Deno.serve({
        ...place,
        signal: this.#abort.signal,
        onListen: () => {},
        onError: (error) => this.#answer(500, `${error}\n`),
      }, (request, { completed }) => {
        const sent = completed.catch(() => {})
          .finally(() => this.#sending.delete(sent));
        this.#sending.add(sent);
        return this.#respond(request);
      });
    } catch (error) {
      const { hostname, port } = place;
      const host = hostname.includes(":") ? `[${hostname}]` : hostname;
      const { message } = error as Error;
      throw new VireoError(`${what} ${host}:${port}: ${message}`);
    }
    this.#guard = new Guard(place.hostname, this.#server.addr.port);
    // Of more visitors than the process may have descriptors.
    this.#server.finished.catch((error) => {
      this.#abort.abort();
      gone(`the live page has ended: ${error.message}`);
    });
  }

  get url(): string {
    return this.#guard.url;
  }

  add(name: string): Shown {
    checkName(name, "live page: add");
    if (this.#machines.has(name)) {
      throw new VireoError(`live page: add "${name}": there is one already`);
    }
    const shown = new Shown(name, {
      folder: this.#folder ?? Deno.cwd(),
      list: async () =>
        this.#machines.size > 1 ? await this.#list.rows() : undefined,
      removed: () => this.#machines.delete(name),
    });
    this.#machines.set(name, shown);
    return shown;
  }

  /** Its readers are told, and it ends. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const shown of this.#machines.values()) shown[Symbol.dispose]();
    // Deno can't close what it shuts down in order: this does both.
    await comesInLooks(Promise.all(this.#sending), LAST_LOOKS, LAST_INTERVAL);
    this.#abort.abort();
    await this.#server.finished.catch(() => {});
  }

  async #respond(request: Request): Promise<Response> {
    const objection = this.#guard.objection(request);
    if (objection) return this.#answer(403, `${objection}\n`);
    const { pathname, searchParams } = new URL(request.url);
    const { method } = request;
    if (method === "POST") {
      return await this.#post(pathname, searchParams, request);
    }
    if (method !== "GET") return this.#answer(405, "GET or POST\n");
    const asset = ASSETS.get(pathname);
    if (asset) return await this.#asset(...asset);
    if (!SHOWN.includes(pathname)) return this.#answer(404, "no such page\n");
    if (!this.#guard.knows(request)) return this.#stranger();
    return await this.#show(pathname, searchParams);
  }

  /** The machine that is asked for; without a name, the first one. */
  #machine(words: URLSearchParams): Shown | undefined {
    const name = words.get("machine");
    if (name !== null) return this.#machines.get(name);
    return this.#machines.values().next().value;
  }

  /** What only a visitor with the cookie sees. */
  async #show(pathname: string, words: URLSearchParams): Promise<Response> {
    if (pathname === "/echarts.js") {
      return this.#answer(200, await chartLibrary(), "text/javascript");
    }
    const shown = this.#machine(words);
    if (shown === undefined) return this.#answer(404, "no such machine\n");
    const readers = [...this.#machines.values()]
      .reduce((sum, { feed }) => sum + feed.readers, 0);
    const full = pathname === "/log"
      ? this.#logs >= MAX_LOGS
      : readers >= MAX_READERS;
    if (full) return this.#answer(503, "too many pages are open\n");
    const events = pathname === "/log"
      ? await this.#log(shown, words)
      : shown.feed.open();
    if (typeof events === "string") return this.#answer(400, events);
    return this.#answer(200, events, "text/event-stream");
  }

  /** What happens, of some types; or why not. */
  async #log(
    shown: Shown,
    words: URLSearchParams,
  ): Promise<ReadableStream | string> {
    const types = (words.get("types") ?? "").split(",");
    const devices = words.getAll("device");
    const closed = () => this.#logs--;
    this.#logs++;
    try {
      return await shown.log({
        types: types as TraceFilter["types"],
        ...(devices.length > 0 && { devices }),
      }, closed);
    } catch (error) {
      closed();
      return `${(error as Error).message}\n`;
    }
  }

  /** What changes something. */
  async #post(
    pathname: string,
    words: URLSearchParams,
    request: Request,
  ): Promise<Response> {
    const body = await bodyOf(request);
    if (body === undefined) return this.#answer(413, "that is too long\n");
    if (pathname === "/session") {
      const cookie = this.#guard.exchange(new TextDecoder().decode(body));
      if (cookie === undefined) return this.#answer(403, "a wrong token\n");
      const response = this.#answer(204);
      response.headers.set("set-cookie", cookie);
      return response;
    }
    if (!this.#guard.knows(request)) return this.#stranger();
    const shown = this.#machine(words);
    if (shown === undefined) return this.#answer(404, "no such machine\n");
    try {
      const said = await shown.press(pathname.slice(1), body);
      if (said === undefined) return this.#answer(404, "no such button\n");
      return said === "" ? this.#answer(204) : this.#answer(200, `${said}\n`);
    } catch (error) {
      const status = error instanceof Busy ? 503 : 409;
      return this.#answer(status, `${(error as Error).message}\n`);
    }
  }

  async #asset(name: string, type: string): Promise<Response> {
    const file = new URL(`./assets/${name}`, import.meta.url);
    return this.#answer(200, await Deno.readFile(file), type);
  }

  #stranger(): Response {
    return this.#answer(401, "open the page by the URL that vireo printed\n");
  }

  #answer(
    status: number,
    body?: string | Uint8Array<ArrayBuffer> | ReadableStream,
    type = "text/plain",
  ): Response {
    const headers = { ...HEADERS, "content-type": `${type}; charset=utf-8` };
    return new Response(body, { status, headers });
  }
}

/** Its bytes; undefined: too many. */
async function bodyOf(
  request: Request,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  for await (const part of request.body ?? []) {
    length += part.length;
    if (length > MAX_INPUT) return undefined;
    parts.push(part);
  }
  return await new Blob(parts).bytes();
}
