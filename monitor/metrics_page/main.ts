/**
 * The metrics page: a program of its own, which may do nothing but listen where
 * it is told. Whoever talks to it doesn't talk to the machine's process.
 *
 * Its argument is where to listen, in JSON. It prints `{"at":URL}` or
 * `{"error":...}`, and then an empty line for each time that it needs the
 * metrics, which come as lines of JSON on its standard input. It ends with that.
 *
 * @module
 */
import { prometheusText } from "./text.ts";

/** Where to listen: on TCP, or at a path. */
type Place = { hostname: string; port: number } | { path: string };

/** Milliseconds for which metrics are good enough: nobody scrapes faster. */
const FRESH = 100;

/** Names of this host that no other host's page can have. */
const LOCAL = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/i;
const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

const place: Place = JSON.parse(Deno.args[0]!);
const isPublic = Deno.args.includes("--public");
const lines = Deno.stdin.readable
  .pipeThrough(new TextDecoderStream())
  .pipeThrough(lineStream());
const answers: PromiseWithResolvers<string>[] = [];
let last: { at: number; text: Promise<string> } | undefined;

try {
  await serve();
} catch (error) {
  print({ error: error instanceof Error ? error.message : String(error) });
  Deno.exit(1);
}
for await (const line of lines) {
  const answer = answers.shift();
  prometheusText(JSON.parse(line)).then(answer?.resolve, answer?.reject);
}
if ("path" in place) Deno.removeSync(place.path);
Deno.exit(0);

async function serve(): Promise<void> {
  const listening = Promise.withResolvers<Deno.Addr>();
  const onListen = (address: Deno.Addr) => listening.resolve(address);
  // Deno.serve takes the place of a socket that is there.
  if ("path" in place && exists(place.path)) {
    throw new Error(`${place.path}: is there already`);
  }
  Deno.serve({ ...place, onListen, onError: failed }, respond);
  const address = await listening.promise;
  if ("path" in place) Deno.chmodSync(place.path, 0o600);
  print({ at: urlOf(address) });
}

async function respond(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  const host = request.headers.get("host") ?? "";
  // A page of the web that says it is here would be one of another name.
  if (!("path" in place || isPublic || LOCAL.test(host))) {
    return new Response("this page is this host's own\n", { status: 403 });
  }
  if (pathname !== "/metrics") {
    return new Response("the metrics are at /metrics\n", { status: 404 });
  }
  if (request.method !== "GET" && request.method !== "HEAD") {
    return new Response("GET only\n", { status: 405 });
  }
  const headers = { "content-type": CONTENT_TYPE };
  return new Response(await fresh(), { headers });
}

function failed(error: unknown): Response {
  return new Response(`${error}\n`, { status: 500 });
}

/** One question at a time goes to the machine, whoever asks. */
function fresh(): Promise<string> {
  if (last === undefined || performance.now() - last.at > FRESH) {
    const answer = Promise.withResolvers<string>();
    answers.push(answer);
    last = { at: performance.now(), text: answer.promise };
    Deno.stdout.writeSync(new TextEncoder().encode("\n"));
  }
  return last.text;
}

function urlOf(address: Deno.Addr): string {
  if (address.transport !== "tcp") return `${(address as Deno.UnixAddr).path}`;
  const { hostname, port } = address;
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return `http://${host}:${port}/metrics`;
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

function print(value: unknown): void {
  const line = `${JSON.stringify(value)}\n`;
  Deno.stdout.writeSync(new TextEncoder().encode(line));
}

function lineStream(): TransformStream<string, string> {
  let rest = "";
  return new TransformStream({
    transform(text, controller) {
      const parts = (rest + text).split("\n");
      rest = parts.pop()!;
      for (const line of parts) controller.enqueue(line);
    },
  });
}
