/**
 * For tests: `bin/firecracker` as a process, in a folder of its own.
 *
 * @module
 */
import { until } from "../../ffi/testing/until.ts";
import { Client } from "./client.ts";

const BINARY = new URL("../../bin/firecracker", import.meta.url).pathname;
const MAIN = new URL("../main.ts", import.meta.url).pathname;

/** Characters of its output that are kept. */
const KEPT = 1 << 20;

/** How to start it. */
export interface ProcessOptions {
  /** Flags beside `--api-sock`. */
  args?: string[];
  /** No `--api-sock`. */
  bare?: boolean;
  /** By the launcher, as clients do; default: its program at once. */
  launcher?: boolean;
  /** Programs that start it: `["ip", "netns", "exec", "x"]`. */
  through?: string[];
  /** Files that are in its folder before it starts, by their names. */
  files?(process: ApiProcess): Record<string, string>;
}

/** One process. */
export class ApiProcess implements AsyncDisposable {
  /** For its files; it is its working directory. */
  readonly folder: string;
  /** Its socket. */
  readonly path: string;
  /** The process. */
  readonly child: Deno.ChildProcess;
  /** What it has printed. */
  stdout = "";
  /** Bytes of it. */
  bytes = 0;
  /** Those that are not one more than the one before. */
  miscounted = 0;
  /** And said. */
  stderr = "";
  #next = -1;
  #status: Deno.CommandStatus | undefined;
  readonly #ends: Promise<unknown>;
  readonly #clients: Client[] = [];

  /** Starts it. */
  constructor(options: ProcessOptions = {}) {
    const { args = [], bare, launcher, files, through = [] } = options;
    this.folder = Deno.makeTempDirSync({ prefix: "vireo-test-" });
    this.path = `${this.folder}/api.socket`;
    for (const [name, text] of Object.entries(files?.(this) ?? {})) {
      this.file(name, text);
    }
    const deno = Deno.execPath();
    const own = launcher ? [BINARY] : [deno, "run", "--quiet", "-A", MAIN];
    const [program, ...before] = [...through, ...own];
    const bin = deno.slice(0, deno.lastIndexOf("/"));
    this.child = new Deno.Command(program!, {
      args: [...before, ...(bare ? [] : ["--api-sock", this.path]), ...args],
      cwd: this.folder,
      env: { PATH: `${bin}:${Deno.env.get("PATH")}`, NO_COLOR: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const read = [
      keep(
        this.child.stdout,
        (text) => this.stdout = (this.stdout + text).slice(-KEPT),
        (bytes) => {
          this.#count(bytes);
        },
      ),
      keep(this.child.stderr, (text) => this.stderr += text),
    ];
    const status = this.child.status.then((status) => this.#status = status);
    this.#ends = Promise.all([...read, status]);
  }

  #count(bytes: Uint8Array): void {
    for (const byte of bytes) {
      if (this.#next >= 0 && byte !== this.#next) this.miscounted++;
      this.#next = byte + 1 & 255;
    }
    this.bytes += bytes.length;
  }

  /** A client, as soon as it listens: there, or at another of its sockets. */
  async client(path: string = this.path): Promise<Client> {
    let client: Client | undefined;
    await this.until(async () => {
      // One that is bound may not listen yet.
      client = await Client.connect(path).catch(() => undefined);
      return client !== undefined;
    }, "its socket");
    this.#clients.push(client!);
    return client!;
  }

  /** Writes a file into its folder; returns the path. */
  file(name: string, content: string | Uint8Array): string {
    const path = `${this.folder}/${name}`;
    if (typeof content === "string") Deno.writeTextFileSync(path, content);
    else Deno.writeFileSync(path, content);
    return path;
  }

  /** Waits for `condition`, or its end. */
  async until(
    condition: () => boolean | Promise<boolean>,
    what: string,
  ): Promise<void> {
    const seen = () => `${this.stdout}\n${this.stderr}`;
    let holds = false;
    await until(
      async () => {
        holds ||= await condition();
        return holds || this.#status !== undefined;
      },
      what,
      seen,
    );
    if (!holds && !await condition()) {
      throw new Error(`it ended before ${what}: ${seen()}`);
    }
  }

  /** Its end: an exit status, or a signal. */
  async end(): Promise<number | string> {
    const seen = () => `${this.stdout}\n${this.stderr}`;
    await until(() => this.#status !== undefined, "its end", seen);
    await this.#ends;
    return this.#status!.signal ?? this.#status!.code;
  }

  /** Ends it, whatever it does, and removes its files. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client[Symbol.dispose]();
    if (this.#status === undefined) this.child.kill("SIGKILL");
    await this.child.stdin.close().catch(() => {});
    await this.#ends;
    Deno.removeSync(this.folder, { recursive: true });
  }
}

async function keep(
  stream: ReadableStream<Uint8Array>,
  take: (text: string) => void,
  look: (bytes: Uint8Array) => void = () => {},
): Promise<void> {
  const decoder = new TextDecoder();
  for await (const bytes of stream) {
    look(bytes);
    take(decoder.decode(bytes, { stream: true }));
  }
}
