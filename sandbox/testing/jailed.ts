/**
 * For tests: `bin/jailer` as a process, with a base folder of its own.
 *
 * @module
 */
import { Client } from "../../api/testing/client.ts";
import { exists } from "../../ffi/file.ts";
import { keep } from "../../ffi/testing/keep.ts";
import { until } from "../../ffi/testing/until.ts";

const JAILER = new URL("../../bin/jailer", import.meta.url).pathname;
const BINARY = new URL("../../bin/firecracker", import.meta.url).pathname;

/** How to start it. */
export interface JailedOptions {
  /** Flags beside those that have to be there. */
  args?: string[];
  /** The program, where it isn't `bin/firecracker`. */
  execFile?: string;
  /** The base folder of another one, which that one removes. */
  base?: string;
  uid?: number;
  gid?: number;
  id?: string;
}

let count = 0;

/** One jailer, and what it has become. */
export class Jailed implements AsyncDisposable {
  readonly base: string;
  readonly id: string;
  readonly root: string;
  readonly child: Deno.ChildProcess;
  stdout = "";
  stderr = "";
  readonly #ownsBase: boolean;
  readonly #status: Promise<Deno.CommandStatus>;
  #ended = false;

  /** Starts it. */
  constructor(options: JailedOptions = {}) {
    const { args = [], uid = 0, gid = 0, execFile = BINARY } = options;
    this.#ownsBase = options.base === undefined;
    // Not in /tmp, which may be mounted without devices.
    this.base = options.base ??
      Deno.makeTempDirSync({ dir: "/srv", prefix: "vireo-test-" });
    this.id = options.id ?? `test-${Deno.pid}-${count++}`;
    const name = execFile.slice(execFile.lastIndexOf("/") + 1);
    this.root = `${this.base}/${name}/${this.id}/root`;
    const deno = Deno.execPath();
    const bin = deno.slice(0, deno.lastIndexOf("/"));
    this.child = new Deno.Command("sh", {
      args: [
        // A descriptor that is nothing to the jail.
        ...["-c", 'exec 9</etc/passwd; exec "$0" "$@"', JAILER],
        ...["--id", this.id, "--exec-file", execFile],
        ...["--uid", `${uid}`, "--gid", `${gid}`],
        ...["--chroot-base-dir", this.base, ...args],
      ],
      env: {
        PATH: `${bin}:${Deno.env.get("PATH")}`,
        NO_COLOR: "1",
        A_SECRET: "of the host",
      },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const read = [
      keep(this.child.stdout, (text) => this.stdout += text),
      keep(this.child.stderr, (text) => this.stderr += text),
    ];
    this.#status = this.child.status.then(async (status) => {
      await Promise.all(read);
      this.#ended = true;
      return status;
    });
  }

  /** Its socket, as the host has it. */
  get socket(): string {
    return `${this.root}/run/firecracker.socket`;
  }

  /** Waits for something, unless it ends before. */
  async until(condition: () => boolean, what: string): Promise<void> {
    const seen = () => `${this.stdout}\n${this.stderr}`;
    await until(() => condition() || this.#ended, what, seen);
    if (!condition()) throw new Error(`it ended before ${what}: ${seen()}`);
  }

  /** A client, as soon as somebody listens. */
  async client(): Promise<Client> {
    let client: Client | undefined;
    await until(
      async () => {
        if (!exists(this.socket)) return this.#failed();
        client = await Client.connect(this.socket).catch(() => undefined);
        return client !== undefined;
      },
      "client",
      () => this.stderr,
    );
    if (client === undefined) throw new Error(`it has ended: ${this.stderr}`);
    return client;
  }

  #failed(): boolean {
    return this.#ended && this.stderr !== "";
  }

  /** Its end: an exit status, or a signal. */
  async end(): Promise<number | string> {
    const { signal, code } = await this.#status;
    return signal ?? code;
  }

  /** Ends it, and removes the base folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ended) {
      try {
        this.child.kill("SIGKILL");
      } catch {
        // It has just ended.
      }
    }
    await this.#status;
    if (this.#ownsBase) Deno.removeSync(this.base, { recursive: true });
  }
}
