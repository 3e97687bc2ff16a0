/**
 * The metrics page of a machine, which is a process of its own
 * (`monitor/metrics_page/main.ts`): it starts before the machine, and ends with
 * it.
 *
 * @module
 */
import { VireoError } from "../ffi/error.ts";
import type { MachineMetrics } from "../vmm/trace/metrics.ts";
import type { Place } from "./address.ts";

const PROGRAM = new URL("./metrics_page/main.ts", import.meta.url);
const CONFIG = new URL("./metrics_page/deno.json", import.meta.url);
/** How long the page may take to end, in milliseconds. */
const END_TIME = 2000;

/** What a page shows. */
export interface Measured {
  /** `Machine.metrics`. */
  metrics(): Promise<MachineMetrics>;
}

/** A page that listens. */
export class Exporter implements AsyncDisposable {
  /** Its URL, or the path of its socket. */
  readonly at: string;
  /** What it shows; it waits for it. */
  readonly machine: PromiseWithResolvers<Measured> = Promise.withResolvers();
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  #ending = false;

  private constructor(
    at: string,
    child: Deno.ChildProcess,
    lines: AsyncIterator<string>,
    gone: (why: string) => void,
  ) {
    this.at = at;
    this.#child = child;
    this.#input = child.stdin.getWriter();
    this.#answer(lines).catch(() => {}).then(() => {
      if (!this.#ending) gone(`the metrics page at ${at} has ended`);
    });
  }

  /**
   * Starts a page.
   *
   * @param isPublic it doesn't ask what its visitors call it
   * @param gone told when it ends before the machine
   * @throws {VireoError} it can't listen there, or can't be had
   */
  static async start(
    place: Place,
    isPublic: boolean,
    gone: (why: string) => void,
  ): Promise<Exporter> {
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "--quiet", "--no-prompt", "--frozen"],
        ...[`--config=${CONFIG.pathname}`, ...permissions(place)],
        ...[PROGRAM.href, JSON.stringify(place)],
        ...(isPublic ? ["--public"] : []),
      ],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const said = new Response(child.stderr).text();
    const lines = linesOf(child.stdout);
    const { value: first } = await lines.next();
    const { at, error } = JSON.parse(first || "{}");
    if (typeof at === "string") return new Exporter(at, child, lines, gone);
    await child.stdin.close().catch(() => {});
    await child.status;
    const why = error ?? firstLine(await said);
    const where = "path" in place ? `unix:${place.path}` : hostPort(place);
    throw new VireoError(`--metrics ${where}: ${why}`);
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending = true;
    await this.#input.close().catch(() => {});
    const late = setTimeout(() => this.#child.kill("SIGKILL"), END_TIME);
    await this.#child.status;
    clearTimeout(late);
  }

  /** Each line is a question. */
  async #answer(lines: AsyncIterator<string>): Promise<void> {
    const encoder = new TextEncoder();
    const { promise } = this.machine;
    while (!(await lines.next()).done) {
      const metrics = await (await promise).metrics();
      await this.#input.write(encoder.encode(`${JSON.stringify(metrics)}\n`));
    }
  }
}

/** It may listen there, and nothing else. */
function permissions(place: Place): string[] {
  if ("path" in place) {
    const path = place.path.replaceAll(",", ",,");
    const names = [`net=unix:${path}`, `read=${path}`, `write=${path}`];
    return names.map((name) => `--allow-${name}`);
  }
  return [`--allow-net=${hostPort(place)}`];
}

function hostPort({ hostname, port }: { hostname: string; port: number }) {
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return `${host}:${port}`;
}

/** Of what Deno says when it can't start a program. */
function firstLine(text: string): string {
  const line = text.split("\n").find((line) => line.trim() !== "");
  return line?.replace(/^error: /, "") ?? "the page can't be started";
}

async function* linesOf(
  stream: ReadableStream<Uint8Array>,
): AsyncGenerator<string, undefined> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n");
    rest = parts.pop()!;
    yield* parts;
  }
}
