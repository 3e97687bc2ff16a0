/**
 * The live page of a machine: what it does, its console, and its buttons, in a
 * browser. It is served by the machine's own process.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import type { MachineState } from "../../vmm/machine_state.ts";
import type { MachineMetrics } from "../../vmm/trace/metrics.ts";
import { eventLog, type Traced } from "./event_log.ts";
import { Feed } from "./feed.ts";
import { Guard } from "./guard.ts";
import { chartLibrary } from "./library.ts";

/** What it is made of, by path, and of which type. */
const ASSETS: ReadonlyMap<string, readonly [string, string]> = new Map([
  ["/", ["page.html", "text/html"]],
  ["/page.js", ["page.js", "text/javascript"]],
  ["/charts.js", ["charts.js", "text/javascript"]],
  ["/events.js", ["events.js", "text/javascript"]],
  ["/screen.js", ["screen.js", "text/javascript"]],
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
/** How long the last events may take to their readers, in milliseconds. */
const LAST_WORDS = 300;

/** What a page shows and steers: a `Machine` is one. */
export interface Watched extends Traced {
  /** `Machine.state`. */
  readonly state: MachineState;
  /** `Machine.metrics`. */
  metrics(): Promise<MachineMetrics>;
  /** `Machine.pause`. */
  pause(): Promise<void>;
  /** `Machine.resume`. */
  resume(): Promise<void>;
  /** `Machine.powerButton`. */
  powerButton(): void;
}

/** Takes what is typed; a promise, while that is more than the guest reads. */
export type Input = (bytes: Uint8Array) => Promise<unknown> | undefined;

/** A page that listens. */
export class LivePage implements AsyncDisposable {
  readonly #watched = Promise.withResolvers<[Watched, Input]>();
  readonly #guard: Guard;
  readonly #feed: Feed;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #abort = new AbortController();
  #logs = 0;
  /** Answers that are under way. */
  readonly #sending = new Set<Promise<void>>();
  /** Resolves when the guest, which has more than it reads, has room. */
  #inputRoom: Promise<unknown> | undefined;

  /**
   * Listens.
   *
   * @param place a port of 0 is any that is free
   * @param gone told why, when it ends before the machine
   * @throws {VireoError} it can't
   */
  constructor(
    place: { hostname: string; port: number },
    gone: (why: string) => void,
  ) {
    this.#feed = new Feed(() => this.#numbers());
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
      throw new VireoError(`--monitor ${host}:${port}: ${message}`);
    }
    this.#guard = new Guard(place.hostname, this.#server.addr.port);
    // Of more visitors than the process may have descriptors.
    this.#server.finished.catch((error) => {
      this.#abort.abort();
      gone(`the live page has ended: ${error.message}`);
    });
  }

  /** Its URL, with the token that lets its reader in. */
  get url(): string {
    return this.#guard.url;
  }

  /** Shows `machine`, and what is typed goes to `input`. */
  watch(machine: Watched, input: Input): void {
    this.#watched.resolve([machine, input]);
  }

  /** The guest has said this. */
  heard(bytes: Uint8Array): void {
    this.#feed.console.push(bytes);
  }

  /** The machine has ended: its readers are told, and the page ends, too. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#feed[Symbol.dispose]();
    // Deno can't close what it shuts down in order: this does both.
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, LAST_WORDS);
    await Promise.race([Promise.all(this.#sending), late.promise]);
    clearTimeout(timer);
    this.#abort.abort();
    await this.#server.finished.catch(() => {});
  }

  async #numbers(): Promise<unknown> {
    const [machine] = await this.#watched.promise;
    return { state: machine.state, metrics: await machine.metrics() };
  }

  async #respond(request: Request): Promise<Response> {
    const objection = this.#guard.objection(request);
    if (objection) return this.#answer(403, `${objection}\n`);
    const { pathname, searchParams } = new URL(request.url);
    const { method } = request;
    if (method === "POST") return await this.#post(pathname, request);
    if (method !== "GET") return this.#answer(405, "GET or POST\n");
    const asset = ASSETS.get(pathname);
    if (asset) return await this.#asset(...asset);
    if (!SHOWN.includes(pathname)) return this.#answer(404, "no such page\n");
    if (!this.#guard.knows(request)) return this.#stranger();
    return await this.#show(pathname, searchParams);
  }

  /** What only a visitor with the cookie sees. */
  async #show(pathname: string, words: URLSearchParams): Promise<Response> {
    if (pathname === "/echarts.js") {
      return this.#answer(200, await chartLibrary(), "text/javascript");
    }
    const full = pathname === "/log" ? this.#logs >= MAX_LOGS : this.#feed.full;
    if (full) return this.#answer(503, "too many pages are open\n");
    const events = pathname === "/log"
      ? await this.#log(words.get("types") ?? "")
      : this.#feed.open();
    if (typeof events === "string") return this.#answer(400, events);
    return this.#answer(200, events, "text/event-stream");
  }

  /** What happens, of some types; or why not. */
  async #log(types: string): Promise<ReadableStream | string> {
    const [machine] = await this.#watched.promise;
    const closed = () => this.#logs--;
    this.#logs++;
    try {
      return await eventLog(machine, types.split(","), closed);
    } catch (error) {
      closed();
      return `${(error as Error).message}\n`;
    }
  }

  /** What changes something. */
  async #post(pathname: string, request: Request): Promise<Response> {
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
    const [machine, input] = await this.#watched.promise;
    try {
      switch (pathname) {
        case "/input":
          if (this.#inputRoom) return this.#answer(503, "the guest is busy\n");
          this.#inputRoom = input(body);
          this.#inputRoom?.then(() => this.#inputRoom = undefined);
          return this.#answer(204);
        case "/pause":
          await machine.pause();
          return this.#answer(204);
        case "/resume":
          await machine.resume();
          return this.#answer(204);
        case "/power-button":
          machine.powerButton();
          return this.#answer(204);
      }
    } catch (error) {
      return this.#answer(409, `${(error as Error).message}\n`);
    }
    return this.#answer(404, "no such button\n");
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
