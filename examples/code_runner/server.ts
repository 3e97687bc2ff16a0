/**
 * HTTP in front of {@linkcode runScript}.
 *
 * `POST /` with `{"script": "..."}` answers with lines of JSON as they come:
 * `{"output": "..."}`, and at the end a {@linkcode ScriptEnd}.
 *
 * @module
 */
import type { MachinePool } from "../../mod.ts";
import { type Limits, runScript, type ScriptEnd } from "./warm_guest.ts";

/** What a server allows. */
export interface ServerOptions extends Limits {
  /** Whoever calls says `Authorization: Bearer TOKEN`. */
  token: string;
  /** Port of the loopback interface; 0: any. */
  port: number;
  /** Bytes of a request's body. */
  body: number;
  /** Scripts that run at once; others wait. */
  machines: number;
  /** Scripts that may wait. */
  waiting: number;
}

/** A request that can't be answered. */
class Refusal extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

/** Serves until `signal` aborts. */
export function serve(
  pool: MachinePool,
  options: ServerOptions,
  signal: AbortSignal,
): Deno.HttpServer<Deno.NetAddr> {
  const places = new Places(options.machines, options.waiting);
  return Deno.serve({
    hostname: "127.0.0.1", // it is for programs on this host
    port: options.port,
    signal,
    onListen: () => {},
  }, async (request) => {
    try {
      const script = await scriptOf(request, options);
      return answer(pool, script, options, await places.take());
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return new Response(`${error.message}\n`, { status: error.status });
    }
  });
}

/** Each check is cheap, and comes before the body is read. */
async function scriptOf(
  request: Request,
  { token, body }: ServerOptions,
): Promise<string> {
  if (request.method !== "POST") throw new Refusal(405, "POST a script");
  if (!await same(request.headers.get("authorization"), `Bearer ${token}`)) {
    throw new Refusal(401, "Authorization: Bearer TOKEN is missing or wrong");
  }
  // A page in a browser can't send this to another origin unasked.
  const type = request.headers.get("content-type")?.split(";")[0];
  if (type !== "application/json") {
    throw new Refusal(415, "Content-Type must be application/json");
  }
  const text = await textOf(request, body);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Refusal(400, "the body is no JSON");
  }
  const script = (value as { script?: unknown } | null)?.script;
  if (typeof script !== "string" || /[\0\r]/.test(script)) {
    throw new Refusal(400, '"script" must be a text without NUL and CR');
  }
  return script;
}

/** Takes as long whatever differs: their hashes are compared. */
async function same(a: string | null, b: string): Promise<boolean> {
  const hash = async (text: string) =>
    new Uint8Array(
      await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)),
    );
  const [one, other] = [await hash(a ?? ""), await hash(b)];
  return one.reduce((sum, byte, i) => sum | byte ^ other[i]!, 0) === 0;
}

async function textOf(request: Request, limit: number): Promise<string> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for await (const part of request.body ?? []) {
    size += part.length;
    if (size > limit) throw new Refusal(413, `more than ${limit} bytes`);
    parts.push(part);
  }
  return await new Blob(parts).text();
}

/** Streams what the script prints; who goes away stops it. */
function answer(
  pool: MachinePool,
  script: string,
  limits: Limits,
  place: Disposable,
): Response {
  const gone = new AbortController();
  const { signal } = gone;
  const decoder = new TextDecoder();
  const body = new ReadableStream<string>({
    async start(stream) {
      using _place = place;
      const line = (value: { output: string } | ScriptEnd) => {
        if (!signal.aborted) stream.enqueue(`${JSON.stringify(value)}\n`);
      };
      const onOutput = (bytes: Uint8Array) =>
        line({ output: decoder.decode(bytes, { stream: true }) });
      line(await runScript(pool, script, limits, onOutput, signal));
      if (!signal.aborted) stream.close();
    },
    cancel: () => gone.abort(),
  });
  return new Response(body.pipeThrough(new TextEncoderStream()), {
    headers: { "content-type": "application/x-ndjson" },
  });
}

/** So many machines at once, and so many who wait for one. */
class Places {
  #free: number;
  readonly #most: number;
  readonly #waiting: (() => void)[] = [];

  constructor(places: number, waiting: number) {
    this.#free = places;
    this.#most = waiting;
  }

  /** Waits for a place, which is free again when it is disposed of. */
  async take(): Promise<Disposable> {
    if (this.#free > 0) this.#free--;
    else if (this.#waiting.length >= this.#most) {
      throw new Refusal(503, "too many scripts");
    } else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return { [Symbol.dispose]: () => this.#giveBack() };
  }

  #giveBack(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free++;
  }
}
